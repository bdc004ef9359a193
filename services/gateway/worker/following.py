"""At the upstream: asking how the task is until it has ended."""

import asyncio
import random
import time
from datetime import UTC, datetime
from typing import Final

import structlog

from services.gateway.generations import Lease
from services.gateway.providers.port import TaskGone, UpstreamTrouble
from services.gateway.worker.workplace import Workplace

log = structlog.get_logger()

_MAX_POLL_SECONDS: Final = 5.0
_GONE_LIMIT: Final = 3
_PROGRESS_SECONDS: Final = 1.0


class Following:
    """The stage `generating`."""

    def __init__(self, workplace: Workplace) -> None:
        self._at = workplace

    async def follow(self, lease: Lease) -> Lease | None:
        """Polls the account that accepted it, less often as it takes longer, until it ends or its deadline."""
        attempt = await self._at.open_attempt(lease.generation)
        if attempt.upstream_task_id is None:
            raise AssertionError("a generation is followed by the id that its upstream gave")
        account, provider = await self._at.upstream(attempt.account_id)
        begin, wrote_at, troubles, gone = time.monotonic(), 0.0, 0, 0
        while datetime.now(UTC) < lease.generation.deadline_at:
            interval = min(
                _MAX_POLL_SECONDS,
                max(self._at.patience.poll_seconds, (time.monotonic() - begin) / 30),
            )
            try:
                state = await provider.poll(account, attempt.upstream_task_id)
            except UpstreamTrouble as trouble:
                troubles += 1
                log.warning("poll_failed", account=account.name, detail=str(trouble))
                interval = min(30.0, interval * 2 ** min(troubles, 5))
            except TaskGone:
                gone += 1
                if gone >= _GONE_LIMIT:
                    await self._at.store.end_attempts(lease.generation)
                    return await self._at.fail(
                        lease, "upstream_error", "The generator has lost this task."
                    )
            else:
                troubles = gone = 0
                if state.status == "completed":
                    results = [(result.url, result.expires_at) for result in state.results]
                    return await self._at.store.storing(lease, attempt.account_id, results)
                if state.status == "failed":
                    await self._at.store.end_attempts(lease.generation)
                    return await self._at.fail(lease, state.error_code, state.error_message)
                changed = state.progress_percent > lease.generation.progress_percent
                if changed and time.monotonic() - wrote_at >= _PROGRESS_SECONDS:
                    lease = await self._at.store.progress(lease, state.progress_percent)
                    wrote_at = time.monotonic()
            await asyncio.sleep(interval * random.uniform(0.9, 1.1))  # noqa: S311 - jitter
        return await self._at.fail(lease, "timeout")

"""From the queue to an upstream that has the task: intent, submit, and what to do about a lost answer."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from prometheus_client import Counter

from services.gateway.generations import (
    MAX_ATTEMPTS,
    Attempt,
    Generation,
    Lease,
    attempt_reference,
)
from services.gateway.providers.port import (
    Account,
    Job,
    Provider,
    SubmitRefused,
    SubmitUnknown,
    UpstreamTrouble,
)
from services.gateway.store.leases import NoAccountFree
from services.gateway.worker.workplace import Workplace

log = structlog.get_logger()

SUBMITS_TOTAL: Final = Counter(
    "reelgate_submits_total", "Submits to upstreams, by outcome", ("outcome",)
)


class Submitting:
    """The stages `queued`, `submitting` and `unknown`."""

    def __init__(self, workplace: Workplace) -> None:
        self._at = workplace
        self._submits: set[asyncio.Task[None]] = set()

    async def late_answers(self) -> None:
        """Waits for submits that outlived their generation's task."""
        if self._submits:
            await asyncio.wait(self._submits)

    async def hand_over(self, lease: Lease) -> Lease | None:
        """`queued`: chooses an account, writes the intent down, and submits."""
        generation = lease.generation
        if generation.overdue:
            return await self._at.fail(lease, "no_account")
        earlier = await self._at.store.attempts(generation)
        if len(earlier) >= MAX_ATTEMPTS:
            return await self._at.fail(lease, "upstream_error")
        dialects = [
            name
            for name, provider in self._at.providers.items()
            if generation.media_type in provider.media_types
        ]
        tried = [attempt.account_id for attempt, state in earlier if state == "refused"]
        try:
            lease, attempt = await self._at.store.begin_attempt(lease, dialects, tried)
        except NoAccountFree:
            await self._at.look_again(lease, 1.0)
            return None
        return await self._submit(lease, attempt)

    async def _submit(self, lease: Lease, attempt: Attempt) -> Lease | None:
        """Hands the job over. The submit itself outlives a cancelled task, so that its answer is written down."""
        generation = lease.generation
        account, provider = await self._at.upstream(attempt.account_id)
        submit = asyncio.create_task(
            self._submit_and_record(generation, attempt, account, provider)
        )
        self._submits.add(submit)
        submit.add_done_callback(self._submitted)
        try:
            await asyncio.shield(submit)
        except SubmitRefused as refusal:
            SUBMITS_TOTAL.labels("refused").inc()
            log.warning("submit_refused", account=account.name, detail=str(refusal))
            await self._at.store.end_attempt(generation, attempt, "refused", str(refusal))
            if not refusal.elsewhere:
                return await self._at.fail(lease, refusal.code, str(refusal))
            await self._at.accounts.cool_down(attempt.account_id, refusal.retry_after)
            if attempt.number >= MAX_ATTEMPTS:
                return await self._at.fail(lease, "upstream_error")
            lease = await self._at.store.requeue(lease)
            await self._at.look_again(lease, 2.0 ** (attempt.number - 1))
            return None
        except SubmitUnknown as lost:
            SUBMITS_TOTAL.labels("unknown").inc()
            log.warning("submit_unknown", account=account.name, detail=str(lost))
            lease = await self._at.store.unknown(lease)
            await self._at.look_again(lease, 1.0)
            return None
        SUBMITS_TOTAL.labels("accepted").inc()
        await self._at.accounts.heal(attempt.account_id)
        return await self._at.store.accepted(lease)

    def _submitted(self, submit: asyncio.Task[None]) -> None:
        self._submits.discard(submit)
        if not submit.cancelled() and submit.exception() is not None:
            log.info("submit_ended", error=type(submit.exception()).__name__)

    async def _submit_and_record(
        self, generation: Generation, attempt: Attempt, account: Account, provider: Provider
    ) -> None:
        task_id = await provider.submit(account, self._job(generation, attempt))
        await self._at.store.record_task(generation, attempt, task_id)

    def _job(self, generation: Generation, attempt: Attempt) -> Job:
        model = self._at.models.get(generation.model)
        return Job(
            reference=attempt_reference(generation, attempt),
            model=model.upstream_model if model else generation.model,
            prompt=generation.prompt,
            media_type=generation.media_type,
            size=model.size if model else "1280x720",
            duration_seconds=generation.duration_seconds,
            count=generation.count,
            parameters=generation.parameters,
        )

    async def after_interruption(self, lease: Lease) -> Lease | None:
        """Whoever submitted is gone. What it learnt is in the attempt; else nobody knows."""
        attempt = await self._at.open_attempt(lease.generation)
        if attempt.upstream_task_id is not None:
            return await self._at.store.accepted(lease)
        return await self._at.store.unknown(lease)

    async def look_for_lost_submit(self, lease: Lease) -> Lease | None:
        """Asks the upstream where it can be asked. Submits again only where a reference seen before is recognised."""
        generation = lease.generation
        attempt = await self._at.open_attempt(generation)
        if attempt.upstream_task_id is not None:
            return await self._at.store.accepted(lease)
        account, provider = await self._at.upstream(attempt.account_id)
        can_find = bool(account.options.get("can_find", provider.can_find))
        idempotent = bool(account.options.get("idempotent_submit", provider.idempotent_submit))
        answered = not can_find
        if can_find:
            try:
                task_id = await provider.find(account, attempt_reference(generation, attempt))
                answered = True
            except UpstreamTrouble as trouble:
                log.warning("find_failed", account=account.name, detail=str(trouble))
                task_id = None
            if task_id is not None:
                await self._at.store.record_task(generation, attempt, task_id)
                return await self._at.store.accepted(lease)
        since = generation.unknown_since or datetime.now(UTC)
        if datetime.now(UTC) - since > timedelta(seconds=self._at.patience.lost_after_seconds):
            return await self._at.fail(lease, "lost")
        if idempotent and answered:
            return await self._submit(await self._at.store.submit_again(lease), attempt)
        await self._at.look_again(lease, 5.0)
        return None

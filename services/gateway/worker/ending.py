"""After the end: everything that a run holds is given back."""

from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from services.gateway.generations import Attempt, Generation, Lease, attempt_reference
from services.gateway.providers.port import UpstreamTrouble
from services.gateway.worker.workplace import Workplace
from services.kernel.errors import Unavailable

log = structlog.get_logger()

# A submit that was under way when its generation was cancelled has answered or failed by then.
_LATE_ANSWER: Final = timedelta(seconds=150)


class Ending:
    """What is owed to quota, storage and the upstream."""

    def __init__(self, workplace: Workplace) -> None:
        self._at = workplace

    async def withdraw(self, lease: Lease) -> None:
        """Its request died half-way: nobody was told its id."""
        await self._at.quota.release(lease.generation, lease.token)
        await self._at.store.remove(lease, forget_key=True)

    async def give_back(self, lease: Lease) -> None:
        """Frees everything the run holds: objects, quota, and the upstream that may still work for it."""
        generation = lease.generation
        # Quota first: its owner has given the bytes up, however long a tier that hangs takes to delete them.
        await self._at.quota.release(generation, lease.token)
        await self._at.storage.tombstone(generation, lease.token)
        for attempt, state in await self._at.store.attempts(generation):
            if state == "open":
                await self._stop_upstream(generation, attempt)
        await self._at.store.end_attempts(generation)

    async def _stop_upstream(self, generation: Generation, attempt: Attempt) -> None:
        account, provider = await self._at.upstream(attempt.account_id)
        if not provider.can_cancel or generation.status == "completed":
            return
        try:
            task_id = attempt.upstream_task_id
            if task_id is None and account.options.get("can_find", provider.can_find):
                task_id = await provider.find(account, attempt_reference(generation, attempt))
            if task_id is not None:
                await provider.cancel(account, task_id)
                return
        except UpstreamTrouble as trouble:
            log.warning("cancel_failed", account=account.name, detail=str(trouble))
        ended = generation.completed_at or generation.updated_at
        if datetime.now(UTC) - ended < _LATE_ANSWER:
            # Its id may still arrive, or the upstream may answer again: try until that is out of the question.
            raise Unavailable(
                "The upstream has not confirmed the cancellation yet.", reason="CANCEL_PENDING"
            )

"""How a body is kept: one slot, the best tier that takes it, and nothing left behind where none does."""

import time

import structlog

from services.kernel.errors import ReelgateError, Unavailable
from services.storage.cleanup import Cleanup
from services.storage.measures import TRANSFER_SECONDS
from services.storage.objects import LogEntry, Progress, Slot, StoredObject
from services.storage.ports import Source, TierFailed
from services.storage.sources.stream import StreamSource
from services.storage.store.transfers import Store, Taken
from services.storage.store.upload_log import UploadLog
from services.storage.tiers import Tiers
from services.storage.transfer.landing import Landing
from services.storage.transfer.pipe import Pipe
from services.storage.transfer.running import Running, Transfer

log = structlog.get_logger()


class Keeper:
    """Brings bodies from their sources into a tier and makes objects of them."""

    def __init__(
        self,
        store: Store,
        tiers: Tiers,
        pipe: Pipe,
        running: Running,
        cleanup: Cleanup,
        uploads: UploadLog,
    ) -> None:
        self._uploads = uploads
        self._store = store
        self._tiers = tiers
        self._pipe = pipe
        self._running = running
        self._cleanup = cleanup

    async def keep(
        self, kind: str, slot: Slot, source: Source, limit: int, progress: Progress
    ) -> StoredObject:
        """Keeps a body of at most `limit` bytes; gives what is there already where the step was done before.

        Raises ReelgateError: FailedPrecondition (STALE_LEASE, TOMBSTONED), Unavailable (NO_TIER), and what the source
        raises. `kind` names the transfer in the metrics.
        """
        entry = LogEntry(kind, source.name, progress)
        begin = time.perf_counter()
        result = "CANCELLED"
        try:
            async with self._running.transfer(slot) as transfer:
                async with self._running.turn(transfer):
                    taken = await self._begin(slot, entry)
                    if isinstance(taken, StoredObject):
                        result = "ALREADY_KEPT"
                        return taken
                    transfer.attempt, transfer.entry = taken.attempt, entry
                kept = await self._in_some_tier(transfer, taken, source, limit, progress)
                result = "KEPT"
                log.info(
                    "object_kept",
                    object_id=str(kept.id),
                    source=source.name,
                    tier=kept.tier,
                    size_bytes=kept.size_bytes,
                    seconds=round(time.perf_counter() - begin, 3),
                )
                return kept
        except ReelgateError as error:
            result = error.reason
            log.info(
                "object_refused",
                object_id=str(slot.id),
                source=source.name,
                reason=error.reason,
                error=error.message,
            )
            raise
        finally:
            TRANSFER_SECONDS.labels(kind, result).observe(time.perf_counter() - begin)

    async def _begin(self, slot: Slot, entry: LogEntry) -> StoredObject | Taken:
        try:
            return await self._store.begin(slot)
        except ReelgateError as error:
            # It has nothing to leave, and so no statement that could log it on the way.
            await self._uploads.failed(entry, slot.id, error.reason)
            raise

    async def _in_some_tier(
        self, transfer: Transfer, taken: Taken, source: Source, limit: int, progress: Progress
    ) -> StoredObject:
        candidates = self._tiers.healthy()
        for number, blobs in enumerate(candidates, start=1):
            landing = Landing(self._store, blobs, transfer, taken)
            try:
                received = await self._pipe.pour(source, landing, limit, progress)
                return await landing.commit(received)
            except BaseException as failure:
                failed_over = isinstance(failure, TierFailed)
                if isinstance(failure, TierFailed):
                    self._tiers.report(failure)
                more = number < len(candidates) and failed_over and _repeatable(source)
                if not more:
                    await landing.leave(failure, self._cleanup.wake)
                if not failed_over:
                    raise
                if not more:
                    break
        else:
            transfer.settle()
            await self._store.abandon(
                transfer.slot,
                taken.attempt,
                None,
                clean=True,
                entry=transfer.entry,
                failure_reason="NO_TIER",
            )
        raise Unavailable(
            "Neither S3 nor the local disk takes files right now. Try again later.",
            reason="NO_TIER",
            retry_after=10,
        )


def _repeatable(source: Source) -> bool:
    return not isinstance(source, StreamSource) or source.repeatable

"""Objects go from one tier to another: copied through the pipe, compared with their row, then given their new place."""

import hmac
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import structlog

from services.kernel.errors import Aborted, NotFound, ReelgateError, Unavailable
from services.storage.cleanup import Cleanup
from services.storage.measures import TRANSFER_SECONDS
from services.storage.objects import LogEntry, MediaKind, Progress, Run, Slot, StoredObject, Tier
from services.storage.ports import Blobs, Body, Received, TierFailed
from services.storage.sources.chunks import Chunks
from services.storage.store.moves import MoveStore
from services.storage.store.transfers import Store, Taken
from services.storage.tiers import Tiers
from services.storage.transfer.landing import Landing
from services.storage.transfer.pipe import Pipe
from services.storage.transfer.running import Running, Transfer

log = structlog.get_logger()

# What says that the bytes are bad, not that the tier is ill.
_OF_THE_BYTES: Final = frozenset({"missing", "broken"})


class Mover:
    """Moves objects between tiers."""

    def __init__(
        self,
        store: Store,
        moves: MoveStore,
        tiers: Tiers,
        pipe: Pipe,
        running: Running,
        cleanup: Cleanup,
    ) -> None:
        self._store = store
        self._moves = moves
        self._tiers = tiers
        self._pipe = pipe
        self._running = running
        self._cleanup = cleanup

    async def move(self, found: StoredObject, to: Tier, progress: Progress) -> StoredObject:
        """Puts an object into a tier; done at once where it lies there already.

        Raises NotFound when it is deleted meanwhile, Unavailable (TIER_FAILED) when its bytes can not be read or kept,
        FailedPrecondition (STALE_LEASE) when a later call moves it.
        """
        progress.total = found.size_bytes
        if found.tier == to:
            progress.done = found.size_bytes
            return found
        begin = time.perf_counter()
        result = "CANCELLED"
        entry = LogEntry("move", found.tier, progress)
        try:
            moved = await self._move(found, to, entry)
        except ReelgateError as error:
            result = error.reason
            raise
        else:
            result = "KEPT"
            log.info(
                "object_moved",
                object_id=str(found.id),
                source=found.tier,
                tier=moved.tier,
                size_bytes=moved.size_bytes,
                seconds=round(time.perf_counter() - begin, 3),
            )
            return moved
        finally:
            TRANSFER_SECONDS.labels("move", result).observe(time.perf_counter() - begin)

    async def _move(self, found: StoredObject, to: Tier, entry: LogEntry) -> StoredObject:
        try:
            source, target = self._tiers.get(found.tier), self._able(to)
            async with self._running.transfer(_slot(found), moves=True) as transfer:
                async with self._running.turn(transfer):
                    taken = await self._moves.begin(found)
                    if taken is not None:
                        transfer.attempt, transfer.entry = taken.attempt, entry
                if taken is not None:
                    landing = _MoveLanding(self._store, target, transfer, taken, self._moves, found)
                    try:
                        return await self._copy(source, landing, found, entry.progress)
                    except BaseException as failure:
                        await landing.leave(failure, self._cleanup.wake)
                        raise
            # Somebody else has just moved or deleted it.
            again = await self._store.get(found.id)
            if again is None:
                raise _gone()
            return again if again.tier == to else await self._move(again, to, entry)
        except TierFailed as failure:
            raise self._tier_failed(found, to, failure) from None
        except ReelgateError:
            if await self._store.get(found.id) is None:
                raise _gone() from None
            raise

    def _able(self, to: Tier) -> Blobs:
        if not self._tiers.is_healthy(to):
            raise TierFailed(to, "connect", "it did not answer when it was last asked")
        return self._tiers.get(to)

    async def _copy(
        self, source: Blobs, landing: "_MoveLanding", found: StoredObject, progress: Progress
    ) -> StoredObject:
        try:
            received = await self._pipe.pour(
                _Kept(source, found), landing, found.size_bytes, progress
            )
        except Aborted as error:
            # The pipe took the other tier for a stranger that did not keep its word.
            raise TierFailed(found.tier, "broken", error.message) from None
        moved = await landing.commit(received)
        self._cleanup.wake()
        return moved

    def _tier_failed(self, found: StoredObject, to: Tier, failure: TierFailed) -> Unavailable:
        if failure.tier == to or failure.trouble not in _OF_THE_BYTES:
            self._tiers.report(failure)
        log.warning(
            "move_failed",
            object_id=str(found.id),
            tier=failure.tier,
            trouble=failure.trouble,
            detail=failure.detail,
        )
        doing = "take" if failure.tier == to else "give"
        return Unavailable(
            f"The {failure.tier} tier does not {doing} the bytes right now; they stay where they are.",
            reason="TIER_FAILED",
            metadata={"tier": failure.tier},
            retry_after=10,
        )


class _Kept:
    """A kept object as a source. All it raises is TierFailed."""

    def __init__(self, blobs: Blobs, found: StoredObject) -> None:
        self.name: str = found.tier
        self._blobs = blobs
        self._found = found

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Body]:
        found = self._found
        async with self._blobs.read(found.key, 0, found.size_bytes) as chunks:
            yield Body(found.size_bytes, Chunks(chunks))

    def verify(self, received: Received) -> None:
        if not hmac.compare_digest(received.sha256, self._found.sha256):
            raise TierFailed(
                self._found.tier, "broken", "the bytes are not those that were once kept"
            )


class _MoveLanding(Landing):
    """Lands as what the object is already, under its own name."""

    def __init__(
        self,
        store: Store,
        blobs: Blobs,
        transfer: Transfer,
        taken: Taken,
        moves: MoveStore,
        found: StoredObject,
    ) -> None:
        super().__init__(store, blobs, transfer, taken)
        self._moves = moves
        self._found = found

    def _judge(self, head: bytes) -> tuple[str, str]:  # noqa: ARG002 - it was judged when it was kept
        return self._found.name, self._found.content_type

    async def _still_allowed(self) -> None:
        await self._moves.still_allowed(self._found, self._taken.attempt)

    async def _keep(self, received: Received) -> StoredObject:  # noqa: ARG002 - the row knows it
        return await self._moves.commit(self._found, self._taken.attempt, self._transfer.entry)


def _gone() -> ReelgateError:
    return NotFound("There is no such object.")


def _slot(found: StoredObject) -> Slot:
    run = None if found.generation_id is None else Run(found.generation_id, found.run, 0)
    return Slot(found.id, found.owner_id, run, found.media_index, MediaKind.ANY, found.created_at)

"""The rules of storage: who may do what, which tier takes the bytes, and what happens when one does not."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

import structlog

from services.kernel.context import caller
from services.kernel.errors import (
    InvalidArgument,
    NotFound,
    OutOfRange,
    PermissionDenied,
    ReelgateError,
    Unavailable,
)
from services.storage.cleanup import Cleanup
from services.storage.landing import Landing
from services.storage.measures import SENT_BYTES_TOTAL, TRANSFER_SECONDS
from services.storage.objects import Link, Progress, Run, Slot, SourceLink, StoredObject, Tier
from services.storage.pipe import Pipe
from services.storage.ports import Source, TierFailed
from services.storage.running import Running
from services.storage.source_stream import StreamSource
from services.storage.source_url import Downloads
from services.storage.store import RemovalScope, Store, Taken, Usage
from services.storage.tiers import Tiers

log = structlog.get_logger()

MAX_IDS: Final = 400
_LEAVE_SECONDS: Final = 15.0


@dataclass(frozen=True, slots=True)
class Reading:
    """An opened download: `length` bytes of the object from `offset`."""

    object: StoredObject
    offset: int
    length: int
    chunks: AsyncIterator[bytes]


@dataclass(frozen=True, slots=True)
class Status:
    """Which tiers there are and whether they answer."""

    s3_enabled: bool
    s3_healthy: bool
    local_enabled: bool
    link_origins: list[str]


class StorageService:
    """Keeps bytes for their owners."""

    def __init__(
        self,
        store: Store,
        tiers: Tiers,
        pipe: Pipe,
        downloads: Downloads,
        running: Running,
        cleanup: Cleanup,
        *,
        max_object_bytes: int,
        spool: Path | None,
    ) -> None:
        self._store = store
        self._tiers = tiers
        self._pipe = pipe
        self._downloads = downloads
        self._running = running
        self._cleanup = cleanup
        self._max_object_bytes = max_object_bytes
        self._spool = spool

    # Bytes in

    async def ingest(
        self, slot: Slot, link: SourceLink, max_bytes: int, progress: Progress
    ) -> StoredObject:
        """Keeps what a link gives; `max_bytes` 0 means the service's limit."""
        _require_service_for(slot.owner_id)
        source = self._downloads.source(link)
        limit = min(max_bytes or self._max_object_bytes, self._max_object_bytes)
        return await self._keep("ingest", slot, source, limit, progress)

    def stream_source(self, chunks: AsyncIterator[bytes], size_bytes: int) -> StreamSource:
        """A source for `upload`; spooled only where another tier could take over."""
        several = len(self._tiers.healthy()) > 1
        return StreamSource(chunks, size_bytes, self._spool if several else None)

    async def upload(self, slot: Slot, source: StreamSource) -> StoredObject:
        """Keeps what a caller sends: works are sent by services only, reference images by users too."""
        if slot.run is not None:
            _require_service_for(slot.owner_id)
        elif slot.owner_id != UUID(caller().subject):
            raise PermissionDenied("Files are uploaded for oneself only.")
        return await self._keep("upload", slot, source, self._max_object_bytes, Progress())

    async def _keep(
        self, kind: str, slot: Slot, source: Source, limit: int, progress: Progress
    ) -> StoredObject:
        begin = time.perf_counter()
        result = "CANCELLED"
        try:
            async with self._running.transfer(slot) as transfer:
                async with self._running.turn(transfer):
                    taken = await self._store.begin(slot)
                    if isinstance(taken, StoredObject):
                        result = "ALREADY_KEPT"
                        return taken
                    transfer.attempt = taken.attempt
                kept = await self._in_some_tier(slot, taken, source, limit, progress)
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

    async def _in_some_tier(
        self, slot: Slot, taken: Taken, source: Source, limit: int, progress: Progress
    ) -> StoredObject:
        candidates = self._tiers.healthy()
        for number, blobs in enumerate(candidates, start=1):
            landing = Landing(self._store, blobs, slot, taken)
            try:
                received = await self._pipe.pour(source, landing, limit, progress)
                return await landing.commit(received)
            except BaseException as failure:
                failed_over = isinstance(failure, TierFailed)
                if isinstance(failure, TierFailed):
                    self._tiers.report(failure)
                more = number < len(candidates) and failed_over and _repeatable(source)
                if not more:
                    await self._leave(slot, taken, landing, failure)
                if not failed_over:
                    raise
                if not more:
                    break
        else:
            await self._store.abandon(slot, taken.attempt, None, clean=True)
        raise Unavailable(
            "Neither S3 nor the local disk takes files right now. Try again later.",
            reason="NO_TIER",
            retry_after=10,
        )

    async def _leave(
        self, slot: Slot, taken: Taken, landing: Landing, failure: BaseException
    ) -> None:
        """Cleans up after a failed transfer, also while the task is being cancelled."""

        async def leave() -> None:
            clean = await landing.give_up(failure)
            await self._store.abandon(slot, taken.attempt, landing.aimed, clean=clean)
            if not clean:
                self._cleanup.wake()

        task = asyncio.ensure_future(leave())
        try:
            async with asyncio.timeout(_LEAVE_SECONDS):
                await asyncio.shield(task)
        except TimeoutError:
            task.cancel()
        except asyncio.CancelledError:
            await asyncio.wait({task}, timeout=_LEAVE_SECONDS)
            raise
        except Exception:
            # The slot ends by itself when it is not renewed, and what was left is removed then.
            log.warning("transfer_not_left", object_id=str(slot.id), exc_info=True)

    # Bytes out

    async def get(self, object_id: UUID) -> StoredObject:
        """One object. Raises NotFound, also for somebody else's."""
        found = await self._store.get(object_id)
        if found is None or not _may_see(found.owner_id):
            raise NotFound("There is no such object.")
        return found

    @asynccontextmanager
    async def download(self, object_id: UUID, offset: int, length: int) -> AsyncIterator[Reading]:
        """Opens a part of an object: a negative `offset` counts from the end, `length` 0 goes up to it.

        Raises OutOfRange, and Unavailable when its tier does not give the bytes.
        """
        found = await self.get(object_id)
        start = max(0, found.size_bytes + offset) if offset < 0 else offset
        if start >= found.size_bytes or length < 0:
            raise OutOfRange(
                f"The object has only {found.size_bytes} bytes.",
                metadata={"size_bytes": str(found.size_bytes)},
            )
        rest = found.size_bytes - start
        count = min(length, rest) if length else rest
        try:
            async with self._tiers.get(found.tier).read(found.key, start, count) as chunks:
                yield Reading(found, start, count, _counted(chunks, count, found.tier))
        except TierFailed as failure:
            log.warning(
                "download_failed",
                object_id=str(object_id),
                tier=failure.tier,
                trouble=failure.trouble,
                detail=failure.detail,
            )
            raise Unavailable(
                "The bytes can not be read right now. Try again in a moment.",
                reason="TIER_FAILED",
                retry_after=2,
            ) from None

    async def links(
        self, object_ids: Sequence[UUID], download_name: str
    ) -> list[tuple[UUID, Link]]:
        """Links to those of the objects that are there and the caller's, in the order asked."""
        _require_few(object_ids)
        found = await self._store.get_many(object_ids)
        links: list[tuple[UUID, Link]] = []
        for object_id in object_ids:
            one = found.get(object_id)
            if one is None or not _may_see(one.owner_id):
                continue
            # A tier that is away can not be linked to; the media route says so when it is asked.
            with suppress(TierFailed):
                blobs = self._tiers.get(one.tier)
                links.append((object_id, await blobs.link(one.key, download_name)))
        return links

    async def page(
        self, owner_id: UUID | None, tier: Tier | None, after: UUID | None, count: int
    ) -> list[StoredObject]:
        """Objects by id. Raises PermissionDenied when others' are asked for."""
        who = caller()
        if not (who.is_admin or who.is_service) and owner_id != UUID(who.subject):
            raise PermissionDenied("Only an administrator may list the objects of others.")
        return await self._store.page(owner_id, tier, after, count)

    async def usage(self, owner_id: UUID) -> Usage:
        """What an owner keeps. Raises NotFound for somebody else."""
        if not _may_see(owner_id):
            raise NotFound("There is no such owner.")
        return await self._store.usage(owner_id)

    def status(self) -> Status:
        """Which tiers there are. Open to everybody: a page needs it for its policy before anyone has logged in."""
        s3 = self._tiers.s3
        return Status(
            s3_enabled=s3 is not None,
            s3_healthy=self._tiers.is_healthy(Tier.S3),
            local_enabled=self._tiers.local is not None,
            link_origins=s3.link_origins if s3 is not None else [],
        )

    # Bytes gone

    async def tombstone(self, run: Run, owner_id: UUID) -> int:
        """Forbids the objects of a run for good; returns the number of deleted ones when their bytes are gone."""
        _require_service_for(owner_id)
        count = await self._store.tombstone(run, owner_id)
        await self._running.stop_run(run.generation_id, run.number)
        await self._cleanup.remove_now(RemovalScope(run=run))
        return count

    async def delete(self, object_ids: Sequence[UUID]) -> int:
        """Deletes objects of the owner; returns their number when the bytes are gone."""
        who = caller()
        if not (who.is_admin or who.is_service):
            raise PermissionDenied("Only a service of this installation may do this.")
        _require_few(object_ids)
        if not object_ids:
            return 0
        count = await self._store.delete(object_ids, None if who.is_admin else UUID(who.subject))
        await self._cleanup.remove_now(RemovalScope(ids=tuple(object_ids)))
        return count


async def _counted(chunks: AsyncIterator[bytes], length: int, tier: Tier) -> AsyncIterator[bytes]:
    """The chunks, which must be `length` bytes in all. Raises TierFailed."""
    left = length
    async for chunk in chunks:
        left -= len(chunk)
        SENT_BYTES_TOTAL.labels(tier).inc(len(chunk))
        yield chunk
    if left:
        raise TierFailed(tier, "broken", f"{left} bytes are missing")


def _repeatable(source: Source) -> bool:
    return not isinstance(source, StreamSource) or source.repeatable


def _require_service_for(owner_id: UUID) -> None:
    who = caller()
    if not who.is_service:
        raise PermissionDenied("Only a service of this installation may do this.")
    if owner_id != UUID(who.subject):
        raise PermissionDenied("The token speaks for another owner.")


def _may_see(owner_id: UUID) -> bool:
    who = caller()
    return who.is_admin or owner_id == UUID(who.subject)


def _require_few(object_ids: Sequence[UUID]) -> None:
    if len(object_ids) > MAX_IDS:
        raise InvalidArgument(f"At most {MAX_IDS} ids at a time.", field="object_ids")

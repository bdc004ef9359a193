"""The rules of storage: who may do what, which tier takes the bytes, and what happens when one does not."""

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
    Unavailable,
)
from services.storage.cleanup import Cleanup
from services.storage.objects import (
    Link,
    Links,
    Progress,
    Run,
    Slot,
    SourceLink,
    StoredObject,
    Tier,
    thumbnail_key,
)
from services.storage.ports import TierFailed
from services.storage.reading import Reader
from services.storage.sources.stream import StreamSource
from services.storage.sources.url import Downloads
from services.storage.store.removals import RemovalScope, RemovalStore
from services.storage.store.transfers import Store, Usage
from services.storage.thumbnails.worker import Thumbnails
from services.storage.tiers import Tiers
from services.storage.transfer.keeper import Keeper
from services.storage.transfer.moving import Mover
from services.storage.transfer.presigned import PresignedUploads, UploadLink
from services.storage.transfer.running import Running

log = structlog.get_logger()

MAX_IDS: Final = 400


@dataclass(frozen=True, slots=True)
class Reading:
    """An opened download: `length` bytes of the object, or of its thumbnail, from `offset`."""

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
        removals: RemovalStore,
        tiers: Tiers,
        keeper: Keeper,
        downloads: Downloads,
        running: Running,
        cleanup: Cleanup,
        thumbnails: Thumbnails,
        mover: Mover,
        presigned: PresignedUploads,
        *,
        max_object_bytes: int,
        spool: Path | None,
    ) -> None:
        self._store = store
        self._removals = removals
        self._tiers = tiers
        self._keeper = keeper
        self._downloads = downloads
        self._running = running
        self._cleanup = cleanup
        self._thumbnails = thumbnails
        self._mover = mover
        self._presigned = presigned
        self._reader = Reader(store, tiers)
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
        kept = await self._keeper.keep("ingest", slot, source, limit, progress)
        self._thumbnails.wake()
        return kept

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
        kept = await self._keeper.keep("upload", slot, source, self._max_object_bytes, Progress())
        self._thumbnails.wake()
        return kept

    async def presign(self, owner_id: UUID, size_bytes: int, content_type: str) -> UploadLink:
        """A link with which a browser uploads a reference image of the caller's own."""
        return await self._presigned.offer(owner_id, size_bytes, content_type)

    async def commit_presigned(self, object_id: UUID) -> StoredObject:
        """Keeps what was sent with such a link."""
        kept = await self._presigned.commit(object_id)
        self._thumbnails.wake()
        return kept

    async def move(self, object_id: UUID, to: Tier, progress: Progress) -> StoredObject:
        """Puts an object into another tier."""
        who = caller()
        if not (who.is_admin or who.is_service):
            raise PermissionDenied("Only a service of this installation may do this.")
        moved = await self._mover.move(await self.get(object_id), to, progress)
        self._thumbnails.wake()
        return moved

    # Bytes out

    async def get(self, object_id: UUID) -> StoredObject:
        """One object. Raises NotFound, also for somebody else's."""
        found = await self._store.get(object_id)
        if found is None or not _may_see(found.owner_id):
            raise NotFound("There is no such object.")
        return found

    @asynccontextmanager
    async def download(
        self, object_id: UUID, offset: int, length: int, *, thumbnail: bool = False
    ) -> AsyncIterator[Reading]:
        """Opens a part of an object: a negative `offset` counts from the end, `length` 0 goes up to it.

        Raises OutOfRange, NotFound also for a `thumbnail` that it has not, and Unavailable when its tier does not give
        the bytes.
        """
        found = await self.get(object_id)
        size = found.thumbnail_bytes if thumbnail else found.size_bytes
        if not size:
            raise NotFound("The object has no thumbnail.")
        start = max(0, size + offset) if offset < 0 else offset
        if start >= size or length < 0:
            raise OutOfRange(
                f"The object has only {size} bytes.",
                metadata={"size_bytes": str(size)},
            )
        rest = size - start
        count = min(length, rest) if length else rest
        try:
            async with self._reader.open(found, start, count, thumbnail=thumbnail) as chunks:
                yield Reading(found, start, count, chunks)
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

    async def links(self, object_ids: Sequence[UUID], download_name: str) -> list[Links]:
        """Links to those of the objects that are there and the caller's, in the order asked."""
        _require_few(object_ids)
        found = await self._store.get_many(object_ids)
        links: list[Links] = []
        for object_id in object_ids:
            one = found.get(object_id)
            if one is None or not _may_see(one.owner_id):
                continue
            # A tier that is away can not be linked to; the media route says so when it is asked.
            with suppress(TierFailed):
                blobs = self._tiers.get(one.tier)
                link = await blobs.link(one.key, download_name)
                thumbnail = Link("", None)
                if one.thumbnail_bytes:
                    thumbnail = await blobs.link(thumbnail_key(one.key), "")
                links.append(Links(one, link, thumbnail))
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
        count = await self._removals.tombstone(run, owner_id)
        await self._running.stop_run(run.generation_id, run.number)
        await self._thumbnails.settled()
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
        count = await self._removals.delete(object_ids, None if who.is_admin else UUID(who.subject))
        await self._running.stop_moves(object_ids)
        await self._thumbnails.settled()
        await self._cleanup.remove_now(RemovalScope(ids=tuple(object_ids)))
        return count


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

"""Uploads that browsers make by themselves: a link to a place of its own in S3, from where a commit fetches the bytes.

They are copied when they are committed: with the link the bytes can be replaced as long as it works, an object's never.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar
from uuid import UUID

import structlog

from services.kernel.context import caller
from services.kernel.errors import (
    Aborted,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ReelgateError,
    ResourceExhausted,
    Unavailable,
)
from services.kernel.ids import new_id
from services.storage.objects import MediaKind, Progress, Slot, StoredObject, Tier
from services.storage.ports import Body, Received, TierFailed
from services.storage.s3.blobs import S3Blobs
from services.storage.s3.target import Delivery
from services.storage.sources.chunks import Chunks
from services.storage.store.presigned import Offer, PresignedStore
from services.storage.store.transfers import Store
from services.storage.tiers import Tiers
from services.storage.transfer.keeper import Keeper

log = structlog.get_logger()

LIFETIME: Final = timedelta(hours=1)
_KINDS: Final = frozenset({MediaKind.JPEG, MediaKind.PNG, MediaKind.WEBP})
_COMMIT_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.1
# A dot keeps it apart from the keys of objects.
_FOLDER: Final = ".incoming"
_Owned = TypeVar("_Owned", Offer, StoredObject)


@dataclass(frozen=True, slots=True)
class UploadLink:
    """What a browser needs to send an object's bytes."""

    object_id: UUID
    url: str
    method: str
    headers: Mapping[str, str]
    expires_at: datetime


class PresignedUploads:
    """Reference images that are sent to S3 without passing through us."""

    def __init__(
        self, store: Store, offers: PresignedStore, tiers: Tiers, keeper: Keeper, *, max_bytes: int
    ) -> None:
        self._store = store
        self._offers = offers
        self._tiers = tiers
        self._keeper = keeper
        self._max_bytes = max_bytes

    async def offer(self, owner_id: UUID, size_bytes: int, content_type: str) -> UploadLink:
        """A link for exactly such a file of the caller's own.

        Raises InvalidArgument, ResourceExhausted (OBJECT_TOO_LARGE), PermissionDenied, Unavailable (NO_TIER).
        """
        if owner_id != UUID(caller().subject):
            raise PermissionDenied("Files are uploaded for oneself only.")
        if content_type not in _KINDS:
            raise InvalidArgument("Only JPEG, PNG and WebP pictures.", field="content_type")
        if size_bytes <= 0:
            raise InvalidArgument("Say how many bytes it will be.", field="size_bytes")
        if size_bytes > self._max_bytes:
            raise ResourceExhausted(
                f"The file is larger than the {self._max_bytes} bytes that are accepted.",
                reason="OBJECT_TOO_LARGE",
                metadata={"limit_bytes": str(self._max_bytes)},
            )
        s3 = self._s3()
        if s3.target.delivery is Delivery.PROXY:
            # Browsers are not to know the bucket, nor may they be able to reach it.
            raise _unavailable()
        object_id, expires_at = new_id(), datetime.now(UTC) + LIFETIME
        key = f"{s3.prefix}{_FOLDER}/{object_id}"
        await self._offers.offer(object_id, owner_id, key, size_bytes, content_type, expires_at)
        headers = {"Content-Type": content_type, "Content-Length": str(size_bytes)}
        try:
            url = await s3.upload_url(key, headers, LIFETIME)
        except TierFailed as failure:
            raise self._no_tier(failure) from None
        return UploadLink(object_id, url, "PUT", headers, expires_at)

    async def commit(self, object_id: UUID) -> StoredObject:
        """Makes an object of what was sent; gives it again when that was done before.

        Raises FailedPrecondition (NOT_UPLOADED) before the bytes are there, Aborted (SOURCE_FAILED) when they are not
        what was announced, NotFound for a link that was never made or is over, Unavailable (NO_TIER).
        """
        try:
            async with asyncio.timeout(_COMMIT_SECONDS):
                while True:
                    offer = await self._offers.get(object_id)
                    if (found := await self._store.get(object_id)) is not None:
                        return _own(found)
                    _own(offer)
                    if await self._offers.claim(object_id, _COMMIT_SECONDS):
                        break
                    # Somebody else is just doing it: what he makes is ours as well.
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            raise Unavailable(
                "This upload is still being looked at. Try again in a moment.", retry_after=5
            ) from None
        try:
            return await self._commit(_own(offer))
        finally:
            await asyncio.shield(self._offers.release(object_id))

    async def _commit(self, offer: Offer) -> StoredObject:
        # Whoever had the claim before may have ended just before we got it.
        if (found := await self._store.get(offer.object_id)) is not None:
            return found
        s3 = self._s3()
        try:
            size = await s3.size(offer.key)
        except TierFailed as failure:
            raise self._no_tier(failure) from None
        if size is None:
            raise _not_uploaded()
        slot = Slot(
            offer.object_id,
            offer.owner_id,
            None,
            0,
            MediaKind(offer.content_type),
            offer.created_at,
        )
        source = _Sent(s3, offer, size)
        try:
            kept = await self._keeper.keep("presigned", slot, source, offer.size_bytes, Progress())
        except Aborted:
            await _forget(s3, offer)
            raise
        await _forget(s3, offer)
        return kept

    def _s3(self) -> S3Blobs:
        s3 = self._tiers.s3
        if s3 is None or not self._tiers.is_healthy(Tier.S3):
            raise _unavailable()
        return s3

    def _no_tier(self, failure: TierFailed) -> ReelgateError:
        self._tiers.report(failure)
        return _unavailable()


class _Sent:
    """What a browser sent, as a source."""

    name = "upload"

    def __init__(self, s3: S3Blobs, offer: Offer, size_bytes: int) -> None:
        self._s3 = s3
        self._offer = offer
        self._size_bytes = size_bytes

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Body]:
        if self._size_bytes != self._offer.size_bytes:
            raise Aborted(
                f"{self._offer.size_bytes} bytes were announced and {self._size_bytes} were sent.",
                reason="SOURCE_FAILED",
            )
        try:
            async with self._s3.read(self._offer.key, 0, self._offer.size_bytes) as chunks:
                yield Body(self._offer.size_bytes, Chunks(chunks))
        except TierFailed as failure:
            if failure.trouble == "missing" and failure.tier == Tier.S3:
                raise _not_uploaded() from None
            raise

    def verify(self, received: Received) -> None:
        """Its length was announced, and the pipe has compared it."""


def _own(found: _Owned | None) -> _Owned:
    if found is None or found.owner_id != UUID(caller().subject):
        raise NotFound("There is no such upload, or it is over.")
    return found


async def _forget(s3: S3Blobs, offer: Offer) -> None:
    """Removes what was sent. What comes later, or can not be removed now, goes when the link has ended."""
    try:
        await asyncio.shield(s3.remove(offer.key, unfinished=False))
    except TierFailed as failure:
        log.info("presigned_not_removed", trouble=failure.trouble, detail=failure.detail)


def _not_uploaded() -> ReelgateError:
    return FailedPrecondition("Nothing was sent with this link yet.", reason="NOT_UPLOADED")


def _unavailable() -> ReelgateError:
    return Unavailable(
        "Files can not be sent to S3 right now. Try again later, or upload through this server.",
        reason="NO_TIER",
        retry_after=10,
    )

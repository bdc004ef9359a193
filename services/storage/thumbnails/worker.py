"""Thumbnails: made behind the commit, one at a time, of whatever object has none yet (E13)."""

import asyncio
import time
import zlib
from contextlib import suppress
from importlib.util import find_spec
from typing import Final

import structlog

from services.kernel.ids import new_id
from services.storage.cleanup import Cleanup
from services.storage.measures import THUMBNAIL_SECONDS
from services.storage.objects import Tier, thumbnail_key
from services.storage.ports import Blobs, Part, Place, TierFailed
from services.storage.store.thumbnails import Claim, ThumbnailStore
from services.storage.thumbnailer.protocol import NO_LIBRARY, Job, Refusal, Thumbnail
from services.storage.thumbnails.process import (
    NoThumbnailerError,
    ThumbnailerDiedError,
    ThumbnailProcess,
)
from services.storage.tiers import Tiers

log = structlog.get_logger()

_LIBRARIES: Final = ("av", "PIL")
# Without work for so long the child ends, which costs memory; objects of other processes are found by then.
_POLL_SECONDS: Final = 60.0
# A row that somebody else has locked this moment is looked at again so soon.
_LEAST_WAIT_SECONDS: Final = 0.5
_READ_SECONDS: Final = 30.0
_AGAIN_SECONDS: Final = 10.0
_SOON_SECONDS: Final = 2.0
_SETTLED_SECONDS: Final = 5.0
_TRIES: Final = 2


class Thumbnails:
    """Makes them."""

    def __init__(
        self,
        store: ThumbnailStore,
        tiers: Tiers,
        cleanup: Cleanup,
        process: ThumbnailProcess,
    ) -> None:
        self._store = store
        self._tiers = tiers
        self._cleanup = cleanup
        self._process = process
        self._wake = asyncio.Event()
        self._writing = asyncio.Lock()
        self._able = True

    def wake(self) -> None:
        """There is a new object."""
        self._wake.set()

    async def settled(self) -> None:
        """Returns when all that this process writes for objects that are gone by now is known to be removed.

        Whoever waits for their bytes to be gone asks for it first. Another process's come to light by themselves.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(_SETTLED_SECONDS), self._writing:
                pass

    async def run(self) -> None:
        """Makes what is to be made, for ever; without the libraries nothing, and the objects wait for them."""
        if missing := [name for name in _LIBRARIES if find_spec(name) is None]:
            log.warning("thumbnails_off", missing=missing, cure="install reelgate[thumbnails]")
            return
        try:
            while True:
                wait_seconds = await self._round()
                if not self._able:
                    return
                try:
                    async with asyncio.timeout(wait_seconds):
                        await self._wake.wait()
                except TimeoutError:
                    if wait_seconds == _POLL_SECONDS:
                        await self._process.end()
        finally:
            await self._process.end()

    async def _round(self) -> float:
        """Makes all there is to make; gives the seconds until there may be more."""
        self._wake.clear()
        try:
            while await self._next():
                pass
            due = await self._store.due_in_seconds(self._able_tiers())
            return min(max(due, _LEAST_WAIT_SECONDS), _POLL_SECONDS)
        except NoThumbnailerError as error:
            log.warning("thumbnailer_not_started", error=str(error))
        except Exception:
            log.warning("thumbnails_failed", exc_info=True)
        return _POLL_SECONDS

    def _able_tiers(self) -> list[Tier]:
        return [tier for tier in Tier if self._tiers.is_healthy(tier)]

    async def _next(self) -> bool:
        """Makes one; False when there is none to make."""
        claim = await self._store.claim(self._able_tiers())
        if claim is None:
            return False
        begin = time.perf_counter()
        result = "CANCELLED"
        try:
            result = await self._conclude(claim)
        except BaseException:
            # Not the file's fault: the process ends, or its database is away.
            with suppress(Exception):
                await asyncio.shield(self._store.later(claim, _SOON_SECONDS, forgiven=True))
            raise
        finally:
            THUMBNAIL_SECONDS.labels(result).observe(time.perf_counter() - begin)
        return self._able

    async def _conclude(self, claim: Claim) -> str:
        """Makes it, or says why not; gives the result's name."""
        if claim.being_removed:
            await self._store.later(claim, _SOON_SECONDS, forgiven=True)
            return "BEING_REMOVED"
        if claim.tries > _TRIES + 1:
            # Whoever tried before did not live to tell.
            return await self._give_up(claim, "DIED")
        try:
            blobs = self._tiers.get(claim.tier)
            outcome = await self._drawn(claim, blobs)
            if isinstance(outcome, Thumbnail):
                return await self._keep(claim, blobs, outcome)
        except TierFailed as failure:
            return await self._postpone(claim, failure)
        except ThumbnailerDiedError as death:
            return await self._died(claim, death)
        return await self._refused(claim, outcome.reason)

    async def _postpone(self, claim: Claim, failure: TierFailed) -> str:
        log.info(
            "thumbnail_postponed",
            object_id=str(claim.id),
            tier=failure.tier,
            trouble=failure.trouble,
            detail=failure.detail,
        )
        await self._store.later(claim, _AGAIN_SECONDS, forgiven=True)
        return "TIER_FAILED"

    async def _died(self, claim: Claim, death: ThumbnailerDiedError) -> str:
        log.warning("thumbnailer_died", object_id=str(claim.id), why=str(death))
        if claim.tries >= _TRIES:
            return await self._give_up(claim, "DIED")
        # Not at once: it may be the machine that is too busy.
        await self._store.later(claim, _AGAIN_SECONDS, forgiven=False)
        return "DIED"

    async def _refused(self, claim: Claim, reason: str) -> str:
        if reason != NO_LIBRARY:
            return await self._give_up(claim, reason)
        log.error("thumbnails_off", cure="av and Pillow are installed and can not be loaded")
        self._able = False
        await self._store.later(claim, 0, forgiven=True)
        return reason

    async def _drawn(self, claim: Claim, blobs: Blobs) -> Thumbnail | Refusal:
        async def read(offset: int, length: int) -> bytes:
            try:
                async with (
                    asyncio.timeout(_READ_SECONDS),
                    blobs.read(claim.key, offset, length) as chunks,
                ):
                    data = b"".join([chunk async for chunk in chunks])
            except TimeoutError:
                raise TierFailed(claim.tier, "timeout", "a piece took too long") from None
            if len(data) != length:
                raise TierFailed(claim.tier, "broken", "the object is shorter than its row says")
            return data

        return await self._process.draw(Job(claim.content_type, claim.size_bytes), read)

    async def _keep(self, claim: Claim, blobs: Blobs, made: Thumbnail) -> str:
        async with self._writing:
            if not await self._store.is_mine(claim):
                return "TOO_LATE"
            await _write(blobs, thumbnail_key(claim.key), made.webp)
            kept = await self._store.done(
                claim,
                size_bytes=len(made.webp),
                width=made.width,
                height=made.height,
                duration_ms=made.duration_ms,
            )
            if kept:
                return "MADE"
            await self._remove(claim)
            return "TOO_LATE"

    async def _give_up(self, claim: Claim, reason: str) -> str:
        log.info("thumbnail_refused", object_id=str(claim.id), reason=reason)
        await self._store.none(claim)
        if claim.tries > 1:
            # An earlier try may have left one; this one wrote nothing.
            await self._remove(claim)
        return reason

    async def _remove(self, claim: Claim) -> None:
        await self._store.remove(claim, thumbnail_key(claim.key))
        self._cleanup.wake()


async def _write(blobs: Blobs, key: str, webp: bytes) -> None:
    place = Place(key, "image/webp", new_id(), whole=True, again=False)
    writer = await blobs.create(place)
    try:
        await writer.write(Part(1, 0, memoryview(webp), zlib.crc32(webp)))
        await writer.complete()
    except BaseException:
        with suppress(TierFailed):
            await writer.abort()
        raise

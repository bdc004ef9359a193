"""One try to bring a body into one tier: noted before the first byte, seen only after the last."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

import structlog

from services.kernel.errors import Aborted, Unavailable
from services.storage.measures import PARTS_TOTAL, STORED_BYTES_TOTAL
from services.storage.objects import StoredObject, Tier
from services.storage.ports import Blobs, Part, Place, Received, TierFailed, Writer
from services.storage.sniff import sniff
from services.storage.store.transfers import Store, Taken
from services.storage.transfer.running import Transfer

log = structlog.get_logger()

_WAIT_FOR_REMOVAL_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.2
_ABORT_SECONDS: Final = 10.0
_FINAL_SECONDS: Final = 10.0
_LEAVE_SECONDS: Final = 15.0


class Landing:
    """A sink of the pipe. End it with `commit` or `leave`."""

    def __init__(self, store: Store, blobs: Blobs, transfer: Transfer, taken: Taken) -> None:
        self._transfer = transfer
        self._store = store
        self._blobs = blobs
        self._slot = transfer.slot
        self._taken = taken
        self._content_type = ""
        self._writer: Writer | None = None
        self.aimed: tuple[Tier, str] | None = None
        self._written = False  # the bytes may be visible under their key

    async def open(self, head: bytes, *, whole: bool, size_bytes: int) -> None:
        """Looks at what the bytes are, notes where they will go, and begins. Raises Aborted for the wrong kind."""
        name, self._content_type = self._judge(head)
        key = self._blobs.prefix + name
        await self._aim(key)
        place = Place(
            key, self._content_type, self._taken.attempt, whole, self._taken.again, size_bytes
        )
        # A beginning that was cut off could take effect after all was looked through for what is left.
        await _undisturbed(self._create(place))
        self._written = whole

    async def _create(self, place: Place) -> None:
        self._writer = await self._blobs.create(place)

    def _judge(self, head: bytes) -> tuple[str, str]:
        """The key without the tier's prefix, and the content type, of a body that begins so. Raises Aborted."""
        kind = sniff(head)
        if kind is None or not kind.content_type.startswith(self._slot.media):
            media = self._slot.media
            wanted = {"": "media", "video/": "a video", "image/": "a picture"}.get(media, media)
            found = "another kind of file" if kind is None else kind.content_type
            raise Aborted(
                f"The source gave {found} where {wanted} was expected.", reason="SOURCE_FAILED"
            )
        return self._slot.key(kind.extension), kind.content_type

    async def _aim(self, key: str) -> None:
        self.aimed = (self._blobs.tier, key)
        try:
            async with asyncio.timeout(_WAIT_FOR_REMOVAL_SECONDS):
                aim = (self._slot, self._taken.attempt, self._blobs.tier, key)
                while not await self._store.aim(*aim):  # noqa: ASYNC110 - the removal is elsewhere
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            raise Unavailable(
                "Old bytes of this object are still being removed. Try again in a moment.",
                retry_after=5,
            ) from None

    async def write(self, part: Part) -> None:
        """Passes a part on."""
        assert self._writer is not None  # noqa: S101 - the pipe opens first
        if self._written:
            await _undisturbed(self._writer.write(part))
        else:
            await self._writer.write(part)
        PARTS_TOTAL.labels(self._blobs.tier).inc()

    async def commit(self, received: Received) -> StoredObject:
        """Makes the bytes durable and the object exist.

        Raises FailedPrecondition (STALE_LEASE, TOMBSTONED) and TierFailed.
        """
        assert self._writer is not None  # noqa: S101 - it was filled
        await self._still_allowed()
        self._written = True
        await _undisturbed(self._writer.complete())
        self._transfer.settle()
        kept = await self._keep(received)
        STORED_BYTES_TOTAL.labels(kept.tier).inc(kept.size_bytes)
        return kept

    async def _still_allowed(self) -> None:
        await self._store.still_allowed(self._slot, self._taken.attempt)

    async def _keep(self, received: Received) -> StoredObject:
        return await self._store.commit(
            self._slot, self._taken.attempt, received, self._content_type, self._transfer.entry
        )

    async def leave(self, failure: BaseException, there_is_a_rest: Callable[[], None]) -> None:
        """Leaves the slot and removes what was begun, also while the task is being cancelled.

        `there_is_a_rest` is called when something may be left that is to be removed later.
        """
        task = asyncio.ensure_future(self._leave(failure, there_is_a_rest))
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
            log.warning("transfer_not_left", object_id=str(self._slot.id), exc_info=True)

    async def _leave(self, failure: BaseException, there_is_a_rest: Callable[[], None]) -> None:
        clean = await self._give_up(failure)
        self._transfer.settle()
        await self._store.abandon(
            self._slot,
            self._taken.attempt,
            self.aimed,
            clean=clean,
            entry=self._transfer.entry,
            failure_reason=self._transfer.reason(failure),
        )
        if not clean:
            there_is_a_rest()

    async def _give_up(self, failure: BaseException) -> bool:
        """Aborts what was begun; True when certainly nothing is left of it."""
        if self._writer is None:
            return self.aimed is None and not self._taken.again
        if isinstance(failure, TierFailed) and failure.tier == self._blobs.tier:
            # It just failed us: what is left is removed when it is back.
            return False
        aborted = await _bounded(self._writer.abort())
        return aborted and not self._written and not self._taken.again


async def _undisturbed(final: Coroutine[Any, Any, None]) -> None:
    """Waits for a request that leaves something, however often it is cancelled: it must not take effect later.

    Whoever stops a transfer cancels it, and so does a caller who goes away.
    """
    task = asyncio.ensure_future(final)
    task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # seen
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        now = asyncio.get_running_loop().time
        until = now() + _FINAL_SECONDS
        while not task.done() and now() < until:
            with suppress(asyncio.CancelledError):
                await asyncio.wait({task}, timeout=until - now())
        raise


async def _bounded(abort: Coroutine[Any, Any, None]) -> bool:
    task = asyncio.ensure_future(abort)
    try:
        async with asyncio.timeout(_ABORT_SECONDS):
            await asyncio.shield(task)
    except (TierFailed, TimeoutError) as failure:
        log.info("abort_failed", failure=str(failure))
        task.cancel()
        return False
    return True

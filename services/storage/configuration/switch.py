"""The S3 tier that is changed while the service runs: the old client is closed when its last user is gone."""

import asyncio
import weakref
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

import structlog

from services.kernel.egress import Egress
from services.storage.s3.blobs import S3Blobs, open_s3
from services.storage.s3.target import S3Target
from services.storage.tiers import Tiers

log = structlog.get_logger()


class S3Switch:
    """Opens S3 tiers: `async with S3Switch(tiers, egress) as switch`; leaving closes all of them."""

    def __init__(self, tiers: Tiers, egress: Egress) -> None:
        self._tiers = tiers
        self._egress = egress
        self._open: dict[AsyncExitStack, weakref.finalize[..., S3Blobs]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for stack, released in list(self._open.items()):
            released.detach()
            await self._close(stack)
        if self._closing:
            await asyncio.wait(self._closing)

    @property
    def open_count(self) -> int:
        """How many clients are open: the one in use, and those that transfers still work with."""
        return len(self._open)

    async def use(self, target: S3Target | None) -> None:
        """Makes this the S3 tier. Raises EgressRefused for an endpoint that is not allowed; then nothing changes."""
        if target is None:
            await self._tiers.use_s3(None)
            return
        stack = AsyncExitStack()
        blobs = await stack.enter_async_context(open_s3(target, self._egress))
        # Transfers, removals and downloads hold on to the tier they began with, and to nothing else that would tell
        # when the last of them is done. Garbage may be collected in any thread.
        loop = asyncio.get_running_loop()
        released = weakref.finalize(blobs, loop.call_soon_threadsafe, self._let_go, stack)
        released.atexit = False
        self._open[stack] = released
        await self._tiers.use_s3(blobs)
        for other in self._open.values():
            if (alive := other.peek()) is not None:
                # What ended in another bucket from now on nobody would find: it has to begin anew, here.
                alive[0].abandoned = _place(alive[0].target) != _place(target)

    def _let_go(self, stack: AsyncExitStack) -> None:
        task = asyncio.ensure_future(self._close(stack))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _close(self, stack: AsyncExitStack) -> None:
        if self._open.pop(stack, None) is None:
            return
        try:
            await stack.aclose()
        except Exception:
            log.warning("s3_client_not_closed", exc_info=True)


def _place(target: S3Target) -> tuple[str, str]:
    return target.endpoint, target.bucket

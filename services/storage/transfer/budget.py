"""Memory for bodies on their way: buffers of one part each, lent from one budget of the process."""

import asyncio
import mmap
import time
from collections import deque
from types import TracebackType
from typing import Final, NamedTuple, Self

from services.storage.measures import BUFFER_BYTES, BUFFER_WAIT_SECONDS

_KEPT_FREE: Final = 8


class Buffer:
    """Room for one part of at most `size` bytes. `space` is all of it, `data` what was filled."""

    def __init__(self, size: int) -> None:
        # Anonymous pages of their own: given back to the system when the last view of them is gone, and untouched ones
        # cost nothing.
        self.space: Final = memoryview(mmap.mmap(-1, size))
        self.size: Final = size
        self.used = 0

    @property
    def data(self) -> memoryview:
        """The filled part of it."""
        return self.space[: self.used]


class _Turn(NamedTuple):
    """Somebody who waits for `size` bytes."""

    size: int
    come: asyncio.Future[None]


class Budget:
    """Lends buffers of any size, first come first served, never more than `total_bytes` in all.

    A large one that has to wait is not overtaken by smaller ones: it would wait for ever.
    """

    def __init__(self, total_bytes: int, usual_bytes: int) -> None:
        self.total_bytes: Final = total_bytes
        self.usual_bytes: Final = min(usual_bytes, total_bytes)
        self._left = total_bytes
        # Of the usual size, so that they need not be asked from the system each time. They count as left.
        self._free: list[Buffer] = []
        self._waiting: deque[_Turn] = deque()

    async def take(self, size: int) -> Buffer:
        """An empty buffer of `size` bytes, at most `total_bytes`, as soon as it can be had."""
        if not 0 < size <= self.total_bytes:
            raise ValueError(f"a budget of {self.total_bytes} bytes can not lend {size}")
        begin = time.perf_counter()
        if self._waiting or size > self._left:
            await self._wait(size)
        else:
            self._left -= size
        BUFFER_WAIT_SECONDS.observe(time.perf_counter() - begin)
        try:
            buffer = self._buffer(size)
        except OSError:
            self._left += size  # the system has no memory for it
            self._serve()
            raise
        BUFFER_BYTES.inc(size)
        return buffer

    async def _wait(self, size: int) -> None:
        turn = _Turn(size, asyncio.get_running_loop().create_future())
        self._waiting.append(turn)
        try:
            await turn.come
        except asyncio.CancelledError:
            if turn.come.done() and not turn.come.cancelled():
                self._left += size  # it was our turn just as we went away
            elif turn in self._waiting:
                self._waiting.remove(turn)
            self._serve()  # what we stood in front of may fit now
            raise

    def _buffer(self, size: int) -> Buffer:
        if self._free and size == self.usual_bytes:
            buffer = self._free.pop()
            buffer.used = 0
            return buffer
        # What is kept free is memory too: it makes room.
        while self._free and self._left < self.usual_bytes * len(self._free):
            self._free.pop()
        return Buffer(size)

    def give_back(self, buffer: Buffer, *, reusable: bool) -> None:
        """Ends a loan. Not `reusable` when somebody may still look at the bytes, such as a connection being closed."""
        BUFFER_BYTES.dec(buffer.size)
        self._left += buffer.size
        if reusable and buffer.size == self.usual_bytes and len(self._free) < _KEPT_FREE:
            self._free.append(buffer)
        self._serve()

    def _serve(self) -> None:
        while self._waiting:
            turn = self._waiting[0]
            if turn.come.done():
                self._waiting.popleft()  # gone away, and about to say so
            elif turn.size <= self._left:
                self._waiting.popleft()
                self._left -= turn.size
                turn.come.set_result(None)
            else:
                return


class Lane:
    """What one transfer borrows: at most `most` buffers at a time, all returned when the block ends.

    Who waits for a buffer must not hold one that becomes free only by getting it.
    """

    def __init__(self, budget: Budget, most: int) -> None:
        self._budget = budget
        self._slots = asyncio.Semaphore(most)
        self._held: set[Buffer] = set()

    async def take(self, size: int) -> Buffer:
        """An empty buffer of `size` bytes; waits while the lane holds `most`."""
        await self._slots.acquire()
        try:
            buffer = await self._budget.take(size)
        except BaseException:
            self._slots.release()
            raise
        self._held.add(buffer)
        return buffer

    def done(self, buffer: Buffer) -> None:
        """The buffer's bytes are where they belong."""
        self._return(buffer, reusable=True)

    def _return(self, buffer: Buffer, *, reusable: bool) -> None:
        self._held.remove(buffer)
        self._budget.give_back(buffer, reusable=reusable)
        self._slots.release()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for buffer in list(self._held):
            self._return(buffer, reusable=False)

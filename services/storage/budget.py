"""Memory for bodies on their way: buffers of one part each, lent from one budget of the process."""

import asyncio
import mmap
import time
from collections import deque
from types import TracebackType
from typing import Final, Self

from services.storage.measures import BUFFER_BYTES, BUFFER_WAIT_SECONDS

_KEPT_FREE: Final = 8


class Buffer:
    """Room for one part. `space` is all of it, `data` what was filled."""

    def __init__(self, size: int) -> None:
        # Anonymous pages of their own: given back to the system when the last view of them is gone, and untouched ones
        # cost nothing.
        self.space: Final = memoryview(mmap.mmap(-1, size))
        self.used = 0

    @property
    def data(self) -> memoryview:
        """The filled part of it."""
        return self.space[: self.used]


class Budget:
    """Lends buffers of one size, first come first served, never more than the budget holds."""

    def __init__(self, total_bytes: int, buffer_bytes: int) -> None:
        self.buffer_bytes: Final = buffer_bytes
        self._left = max(1, total_bytes // buffer_bytes)
        self._free: list[Buffer] = []
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def take(self) -> Buffer:
        """A buffer, empty, as soon as one can be had."""
        begin = time.perf_counter()
        if self._left and not self._waiting:
            self._left -= 1
        else:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._hand_on()  # it was our turn just as we went away
                elif turn in self._waiting:
                    self._waiting.remove(turn)
                raise
        BUFFER_WAIT_SECONDS.observe(time.perf_counter() - begin)
        BUFFER_BYTES.inc(self.buffer_bytes)
        buffer = self._free.pop() if self._free else Buffer(self.buffer_bytes)
        buffer.used = 0
        return buffer

    def give_back(self, buffer: Buffer, *, reusable: bool) -> None:
        """Ends a loan. Not `reusable` when somebody may still look at the bytes, such as a connection being closed."""
        BUFFER_BYTES.dec(self.buffer_bytes)
        if reusable and len(self._free) < _KEPT_FREE:
            self._free.append(buffer)
        self._hand_on()

    def _hand_on(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._left += 1


class Lane:
    """What one transfer borrows: at most `most` buffers at a time, all returned when the block ends."""

    def __init__(self, budget: Budget, most: int) -> None:
        self._budget = budget
        self._slots = asyncio.Semaphore(most)
        self._held: set[Buffer] = set()

    async def take(self) -> Buffer:
        """An empty buffer; waits while the lane holds `most`."""
        await self._slots.acquire()
        try:
            buffer = await self._budget.take()
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

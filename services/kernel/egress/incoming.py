"""The body of an answer, received into memory that its reader owns."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final, Literal

import aiohttp
from aiohttp.client_proto import ResponseHandler
from multidict import CIMultiDictProxy

from services.kernel.egress.connector import failure
from services.kernel.egress.errors import EgressFailed

# Below it the connection is worth more than the copies: one whose body went past aiohttp is not used again.
_DIRECT_BYTES: Final = 1024 * 1024


class Incoming:
    """An answer whose body is read piece by piece. Made by `Egress.download`."""

    def __init__(
        self, response: aiohttp.ClientResponse, idle_seconds: float | None, deadline: float | None
    ) -> None:
        """Wait for any byte for `idle_seconds` at most, and for all of them until `deadline` by the loop's clock."""
        self.status: Final = response.status
        self.headers: Final[CIMultiDictProxy[str]] = response.headers
        self._response = response
        self._idle_seconds = idle_seconds
        self._deadline = deadline
        self._begun = False
        self._came: deque[bytes] = deque()
        self._direct: _Direct | None = None

    async def fill(self, space: memoryview, seen: Callable[[int], None]) -> int:
        """Receives until `space` is full or the body is over; gives the number of bytes in it.

        `seen` is told how many have come whenever some have, and may raise. Raises EgressFailed; what was seen until
        then is in `space`.
        """
        if not self._begun:
            self._begun = True
            try:
                self._direct = self._take_over()
            except TimeoutError as error:  # all of its time was over before anybody read
                raise failure(error, sent=True) from error
        filled = 0
        try:
            while filled < len(space) and (count := await self._some(space[filled:])):
                filled += count
                seen(count)
        finally:
            if self._direct is not None:
                self._direct.pause()
        return filled

    async def _some(self, space: memoryview) -> int:
        """Receives what is there, at least one byte; 0 when the body is over."""
        if not self._came and self._direct is not None:
            return await self._direct.receive(space)
        if not self._came:
            try:
                self._came.append(await self._response.content.readany())
            except Exception as error:
                # Of broken framing it says what its parser says, which is no ClientError.
                raise failure(error, sent=True) from error
        chunk = self._came.popleft()
        count = min(len(chunk), len(space))
        space[:count] = chunk[:count]
        if count < len(chunk):
            self._came.appendleft(chunk[count:])
        return count

    def _take_over(self) -> "_Direct | None":
        """Goes on without aiohttp where the rest of the body is nothing but bytes, and many of them."""
        content, connection = self._response.content, self._response.connection
        left = _plain_length(self._response.headers)
        if left < _DIRECT_BYTES or connection is None:
            return None
        while content.exception() is None and (chunk := content.read_nowait()):
            self._came.append(chunk)
            left -= len(chunk)
        handler, transport = connection.protocol, connection.transport
        if (
            not left
            or content.exception() is not None
            or handler is None
            or transport is None
            or transport.is_closing()
        ):
            return None
        return _Direct(handler, transport, left, self._idle_seconds, self._deadline)


def _plain_length(headers: Mapping[str, str]) -> int:
    """The length in bytes of a body that comes as it is; 0 when it is framed otherwise."""
    length = headers.get("Content-Length", "")
    plain = "Transfer-Encoding" not in headers and length.isascii() and length.isdigit()
    return int(length) if plain else 0


class _Direct(asyncio.BufferedProtocol):
    """Receives the last `left` bytes of a connection's last answer where they are wanted.

    aiohttp would copy each of them three times on its way: out of the loop's buffer, out of what its parser cut, and to
    where it is wanted; and would stop and start the transport every 128 KiB.
    """

    def __init__(
        self,
        handler: ResponseHandler,
        transport: asyncio.Transport,
        left: int,
        idle_seconds: float | None,
        deadline: float | None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._handler = handler
        self._transport = transport
        self._left = left
        self._idle_seconds = idle_seconds
        self._deadline = deadline
        self._space: memoryview | None = None  # only while somebody receives
        self._came = 0
        self._came_at = 0.0
        self._failure: EgressFailed | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._watch: asyncio.TimerHandle | None = None
        handler.force_close()  # its parser does not know where this answer ends
        handler.read_timeout = None
        handler.start_timeout()  # of none: what was running ends
        # The loop looks at what kind of protocol it has when reading begins.
        transport.pause_reading()
        transport.set_protocol(self)

    async def receive(self, space: memoryview) -> int:
        """At least one byte, 0 at the end. Raises EgressFailed.

        Until `pause`, more may come into the rest of `space`, with which the next call has to go on.
        """
        if not self._left:
            return 0
        begins = self._space is None
        self._space = space[: self._left]
        if begins and self._failure is None:
            self._came_at = self._loop.time()
            self._look_at_the_clock()
            self._transport.resume_reading()
        if not self._came and self._failure is None:
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if not self._came and self._failure is not None:
            raise self._failure
        count, self._came = self._came, 0
        return count

    def pause(self) -> None:
        """Receives nothing more: the space belongs to others from now on."""
        self._space = None
        self._transport.pause_reading()
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _look_at_the_clock(self) -> None:
        ends = [] if self._deadline is None else [self._deadline]
        if self._idle_seconds is not None:
            ends.append(self._came_at + self._idle_seconds)
        if not ends:
            return
        if self._loop.time() < min(ends):
            self._watch = self._loop.call_at(min(ends), self._look_at_the_clock)
        else:
            self._fail("timeout", "no byte came in time")

    def _fail(self, kind: Literal["timeout", "reset"], detail: str) -> None:
        if self._failure is None:
            self._failure = EgressFailed(kind, detail=detail, sent=True)
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # What the transport calls.

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - as much as there is
        """Where to put what comes."""
        assert self._space is not None  # noqa: S101 - it is paused otherwise
        return self._space

    def buffer_updated(self, nbytes: int) -> None:
        """So much came."""
        assert self._space is not None  # noqa: S101 - as above
        self._space = self._space[nbytes:]
        self._left -= nbytes
        self._came += nbytes
        self._came_at = self._loop.time()
        if not self._space:
            self._transport.pause_reading()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over, too early while bytes are missing."""
        if self._left:
            self._fail(
                "reset", f"{type(exc).__name__}: {exc}" if exc else f"{self._left} bytes missing"
            )
        self._handler.connection_lost(exc)  # who waits for its end

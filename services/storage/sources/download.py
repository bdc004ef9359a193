"""One body on its way here over as many connections as it takes: one that breaks is taken up where it broke."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

import structlog

from services.kernel.egress import Egress, EgressFailed, Incoming, Origin, Timeouts, origin_of
from services.kernel.errors import Aborted, ReelgateError
from services.storage.measures import SOURCE_RESUMES_TOTAL
from services.storage.objects import SourceLink
from services.storage.sources.answer import Promise, continues, promise

log = structlog.get_logger()

_CONNECT_SECONDS: Final = 10.0
_RESUMES: Final = 5
"""So many in a row without `_PROGRESS_BYTES` between them."""
_PROGRESS_BYTES: Final = 1024 * 1024
_FIRST_PAUSE_SECONDS: Final = 0.25
# A connection that was lost, and the ways in which the next one may not come about.
_PASSING: Final = frozenset({"reset", "timeout", "connect", "dns", "tls"})


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a source is waited for: `idle` for any piece, `total` for all of it (seconds).

    And how slow it may be: on average over `window_seconds` of waiting for it; 0 bytes mean as slow as it likes.
    """

    idle_seconds: float
    total_seconds: float
    min_bytes_per_second: int
    window_seconds: float


class Download:
    """The body that a link names, asked for with the link's headers; `allow` are origins that may be private.

    `open` it, read it, and `aclose` it. The first two raise EgressRefused, EgressFailed, and Aborted when the source
    does not give what it should.
    """

    def __init__(
        self, egress: Egress, link: SourceLink, allow: frozenset[Origin], patience: Patience
    ) -> None:
        self._egress = egress
        self._link = link
        self._host = origin_of(link.url).host
        self._allow = allow
        self._patience = patience
        self._deadline = time.monotonic() + patience.total_seconds
        self._pace = Pace(patience)
        self._promise: Promise | None = None
        self._offset = 0
        self._resumes = 0
        self._resumed_at = 0
        self._answer = AsyncExitStack()
        self._incoming: Incoming | None = None  # None when its connection was lost

    @property
    def size_bytes(self) -> int:
        """What the answer promised, 0 when it did not."""
        return self._promise.size_bytes if self._promise is not None else 0

    async def open(self) -> None:
        """Brings the head of the answer."""
        await self._connect()

    async def aclose(self) -> None:
        """Lets go of the connection, also when the body was not read to its end."""
        await self._answer.aclose()

    async def fill(self, space: memoryview, seen: Callable[[int], None]) -> int:
        """Reads until `space` is full or the body is over, over as many connections as it takes; gives how much."""
        begin = self._offset
        while True:
            since = time.monotonic()

            def count(size_bytes: int) -> None:
                # From our wish for it to its coming: what we let it wait for is not its fault.
                nonlocal since
                self._pace.count(time.monotonic() - since, size_bytes)
                self._offset += size_bytes
                seen(size_bytes)
                since = time.monotonic()

            try:
                incoming = self._incoming or await self._connect()
                await incoming.fill(space[self._offset - begin :], count)
                return self._offset - begin
            except EgressFailed as failure:
                await self._lost(failure)

    async def _connect(self) -> Incoming:
        """Asks at the address we were given, each time: where that leads to may have changed."""
        headers = {"Accept": "*/*", **self._link.headers, "Accept-Encoding": "identity"}
        if self._promise is not None:
            headers |= {"Range": f"bytes={self._offset}-", "If-Range": self._promise.validator}
        answer = self._egress.download(
            self._link.url,
            headers=headers,
            timeouts=Timeouts(
                connect=_CONNECT_SECONDS,
                read=self._patience.idle_seconds,
                total=max(0.0, self._deadline - time.monotonic()),
            ),
            allow=self._allow,
        )
        async with AsyncExitStack() as stack:
            self._incoming = await stack.enter_async_context(answer)
            self._read_head(self._incoming)
            self._answer = stack.pop_all()
        return self._incoming

    async def _lost(self, failure: EgressFailed) -> None:
        """Lets go of a connection, and waits until the next one may be made. Raises the failure when none may."""
        self._incoming = None
        await self._answer.aclose()
        if not self._may_resume(failure):
            raise failure
        log.info(
            "source_lost",
            host=self._host,
            offset=self._offset,
            kind=failure.kind,
            detail=failure.detail,
        )
        await asyncio.sleep(_FIRST_PAUSE_SECONDS * 2 ** (self._resumes - 1))

    def _read_head(self, incoming: Incoming) -> None:
        if self._promise is None:
            self._promise = promise(incoming.status, incoming.headers)
        elif continues(self._promise, self._offset, incoming.status, incoming.headers):
            SOURCE_RESUMES_TOTAL.labels("continued").inc()
            log.info("source_resumed", host=self._host, offset=self._offset)
        else:
            SOURCE_RESUMES_TOTAL.labels("refused").inc()
            raise Aborted(
                f"The source broke off after {self._offset} bytes and did not go on from there.",
                reason="SOURCE_FAILED",
                metadata={"kind": "reset", "status": str(incoming.status)},
            )

    def _may_resume(self, failure: EgressFailed) -> bool:
        """Whether another try makes sense, which is then counted."""
        if self._promise is None or not self._promise.validator or not self._offset:
            return False
        if self._resumes and self._offset == self._resumed_at:
            SOURCE_RESUMES_TOTAL.labels("failed").inc()
        if failure.kind not in _PASSING or time.monotonic() >= self._deadline:
            return False
        if self._offset - self._resumed_at >= _PROGRESS_BYTES:
            self._resumes = 0
        self._resumes += 1
        self._resumed_at = self._offset
        return self._resumes <= _RESUMES


class Pace:
    """Whether a source keeps its minimum speed, measured while it is waited for."""

    def __init__(self, patience: Patience) -> None:
        self._least = patience.min_bytes_per_second
        self._window_seconds = patience.window_seconds
        self._seconds = 0.0
        self._bytes = 0

    def count(self, seconds: float, size_bytes: int) -> None:
        """So many bytes came after so long a wait. Raises Aborted when a window is over in which too few came."""
        self._seconds += seconds
        self._bytes += size_bytes
        if self._seconds < self._window_seconds:
            return
        speed = self._bytes / self._seconds
        if speed < self._least:
            raise _too_slow(speed, self._least)
        self._seconds, self._bytes = 0.0, 0


def _too_slow(speed: float, least: int) -> ReelgateError:
    return Aborted(
        f"The source is too slow: it gave {speed:.0f} bytes a second, and {least} are the least.",
        reason="SOURCE_FAILED",
        metadata={"kind": "slow"},
    )

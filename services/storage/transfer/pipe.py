"""The pipe: a body is read into part buffers while earlier parts are on their way into a tier."""

import asyncio
import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Protocol

from isal import isal_zlib

from services.kernel.errors import Aborted, ReelgateError, ResourceExhausted
from services.storage.measures import RECEIVED_BYTES_TOTAL
from services.storage.objects import Progress
from services.storage.ports import Body, Part, Received, Source
from services.storage.sniff import HEAD_BYTES
from services.storage.transfer.budget import Budget, Buffer, Lane

# Below it a trip to a thread costs more than the digest.
_INLINE_BYTES: Final = 64 * 1024
MOST_PARTS: Final = 10_000
"""Of one object in S3."""
_PART_STEP: Final = 1024 * 1024


class Sink(Protocol):
    """Where a body goes."""

    async def open(self, head: bytes, *, whole: bool, size_bytes: int) -> None:
        """Told how the body begins, whether the first part is all of it, and its length (0: nobody has said)."""

    async def write(self, part: Part) -> None:
        """Takes a part; several may be under way at once."""


class Pipe:
    """Moves bodies with bounded memory: `parts_in_flight` buffers each, of one budget for all.

    All parts of a body but the last have one size: the usual one, or a larger one where S3 takes too few of those.
    """

    def __init__(
        self, budget: Budget, threads: ThreadPoolExecutor, *, parts_in_flight: int
    ) -> None:
        self._budget = budget
        self._threads = threads
        self._parts_in_flight = parts_in_flight

    async def pour(self, source: Source, sink: Sink, limit: int, progress: Progress) -> Received:
        """Moves one body of at most `limit` bytes. Its last part is written only after the whole was verified.

        Raises what source and sink raise, and ReelgateError for a body that is empty, too long, or not of the length
        that was promised.
        """
        async with Lane(self._budget, self._parts_in_flight) as lane:
            # Borrowed first: a source that is open must not be kept waiting for memory.
            buffer = await lane.take(self._budget.usual_bytes)
            async with source.open() as body:
                if body.size_bytes > limit:
                    raise _too_large(limit)
                part_bytes = self._part_bytes(body.size_bytes or limit)
                if part_bytes > buffer.size:
                    lane.done(buffer)  # first: it may be what the larger one waits for
                    buffer = await lane.take(part_bytes)
                progress.done, progress.total = 0, body.size_bytes
                reader = _Reader(body, limit, progress)
                last = await reader.fill(buffer)
                if not buffer.used:
                    raise Aborted("The source gave an empty answer.", reason="SOURCE_FAILED")
                head = bytes(buffer.space[: min(HEAD_BYTES, buffer.used)])
                size_bytes = buffer.used if last else body.size_bytes
                await sink.open(head, whole=last, size_bytes=size_bytes)
                run = _Pouring(self._threads, lane, sink, progress, source.verify)
                try:
                    return await run.all_parts(reader, buffer, last)
                except BaseExceptionGroup as group:
                    raise _first(group) from None

    def _part_bytes(self, size_bytes: int) -> int:
        """The size of all parts but the last, such that there are not too many. Raises ResourceExhausted."""
        least = -(-size_bytes // MOST_PARTS)
        if least > self._budget.total_bytes:
            raise _too_large(self._budget.total_bytes * MOST_PARTS)
        if least <= self._budget.usual_bytes:
            return self._budget.usual_bytes
        return min(-(-least // _PART_STEP) * _PART_STEP, self._budget.total_bytes)


class _Pouring:
    """One body from its first part to its last."""

    def __init__(
        self,
        threads: ThreadPoolExecutor,
        lane: Lane,
        sink: Sink,
        progress: Progress,
        verify: Callable[[Received], None],
    ) -> None:
        self._threads = threads
        self._lane = lane
        self._sink = sink
        self._progress = progress
        self._verify = verify
        self._sha256 = hashlib.sha256()

    async def all_parts(self, reader: "_Reader", buffer: Buffer, last: bool) -> Received:
        number, offset = 1, 0
        received = Received(0, b"")
        digested: asyncio.Future[int] | None = None
        async with asyncio.TaskGroup() as group:
            while True:
                if digested is not None:
                    await digested  # in order, and rarely still running
                digested = self._digest(buffer.data)
                if last:
                    await digested
                    received = Received(reader.total, self._sha256.digest())
                    reader.verify()
                    self._verify(received)
                    group.create_task(self._send(number, offset, buffer, digested))
                    break
                group.create_task(self._send(number, offset, buffer, digested))
                number, offset = number + 1, offset + buffer.used
                buffer = await self._lane.take(buffer.size)
                last = await reader.fill(buffer)
        return received

    def _digest(self, data: memoryview) -> asyncio.Future[int]:
        loop = asyncio.get_running_loop()
        if len(data) > _INLINE_BYTES:
            return loop.run_in_executor(self._threads, _digests, self._sha256, data)
        done: asyncio.Future[int] = loop.create_future()
        done.set_result(_digests(self._sha256, data))
        return done

    async def _send(
        self, number: int, offset: int, buffer: Buffer, digested: asyncio.Future[int]
    ) -> None:
        crc32 = await asyncio.shield(digested)
        await self._sink.write(Part(number, offset, buffer.data, crc32))
        self._progress.done += buffer.used
        self._lane.done(buffer)


class _Reader:
    """Cuts a body into parts of the buffers' size, and counts it."""

    def __init__(self, body: Body, limit: int, progress: Progress) -> None:
        self.total = 0
        self._progress = progress
        self._content = body.content
        self._promised = body.size_bytes
        self._limit = limit
        # The first byte of the next part, read to know whether there is one.
        self._ahead = memoryview(bytearray(1))
        self._is_ahead = False

    async def fill(self, buffer: Buffer) -> bool:
        """Fills the buffer as far as the body goes; True when that was its end."""
        used = 0
        if self._is_ahead:
            buffer.space[:1] = self._ahead
            used, self._is_ahead = 1, False
        used += await self._content.fill(buffer.space[used:], self._count)
        buffer.used = used
        if used < buffer.size:
            return True
        if self.total < self._promised:
            return False
        self._is_ahead = bool(await self._content.fill(self._ahead, self._count))
        return not self._is_ahead

    def _count(self, size_bytes: int) -> None:
        self.total += size_bytes
        self._progress.received = self.total
        RECEIVED_BYTES_TOTAL.inc(size_bytes)
        if self.total > self._limit:
            raise _too_large(self._limit)
        if self._promised and self.total > self._promised:
            raise _other_length(self._promised, "more")

    def verify(self) -> None:
        """Raises Aborted when the body is shorter than it promised."""
        if self._promised and self.total != self._promised:
            raise _other_length(self._promised, f"only {self.total}")


def _digests(sha256: "hashlib._Hash", data: memoryview) -> int:
    """Adds to the one, returns the other; both let other threads run meanwhile."""
    sha256.update(data)
    return isal_zlib.crc32(data)  # a fifth of zlib's time, which was a seventh of all


def _first(group: BaseExceptionGroup[Any]) -> BaseException:
    """The error that ended the group: the others followed from it."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _too_large(limit: int) -> ReelgateError:
    return ResourceExhausted(
        f"The file is larger than the {limit} bytes that are accepted.",
        reason="OBJECT_TOO_LARGE",
        metadata={"limit_bytes": str(limit)},
    )


def _other_length(promised: int, got: str) -> ReelgateError:
    return Aborted(f"The source promised {promised} bytes and gave {got}.", reason="SOURCE_FAILED")

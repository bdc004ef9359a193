"""E4, E5: however a body is cut into chunks, the parts are right, and a wrong body's last part is never written."""

import asyncio
import hashlib
import math
import zlib
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.kernel.errors import Aborted, ReelgateError, ResourceExhausted
from services.storage.objects import Progress
from services.storage.ports import Body, Part, Received
from services.storage.sources import chunks as chunked
from services.storage.transfer import pipe as pipe_module
from services.storage.transfer.budget import Budget
from services.storage.transfer.pipe import Pipe

PART = 4096
LIMIT = 10**7


class Chunks:
    """A source of given chunks."""

    name = "test"

    def __init__(self, chunks: list[bytes], promised: int = 0) -> None:
        self._chunks = chunks
        self._promised = promised
        self.verified: Received | None = None
        self.refuse = False

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Body]:
        yield Body(self._promised, chunked.Chunks(self._each()))

    async def _each(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk

    def verify(self, received: Received) -> None:
        self.verified = received
        if self.refuse:
            raise Aborted("no", reason="REFUSED")


class Parts:
    """A sink that keeps copies."""

    def __init__(self) -> None:
        self.parts: dict[int, bytes] = {}
        self.head = b""
        self.whole: bool | None = None
        self.part_bytes = PART

    async def open(self, head: bytes, *, whole: bool, size_bytes: int) -> None:
        self.head, self.whole = head, whole

    async def write(self, part: Part) -> None:
        assert zlib.crc32(part.data) == part.crc32
        assert part.offset == (part.number - 1) * self.part_bytes
        self.parts[part.number] = bytes(part.data)

    @property
    def body(self) -> bytes:
        return b"".join(self.parts[number] for number in sorted(self.parts))


@pytest.fixture(scope="module")
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as threads:
        yield threads


def pipe(threads: ThreadPoolExecutor) -> Pipe:
    return Pipe(Budget(4 * PART, PART), threads, parts_in_flight=3)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(0, 3 * PART), min_size=1, max_size=8))
async def test_e4_parts_are_the_body_whatever_the_chunks(
    threads: ThreadPoolExecutor, sizes: list[int]
) -> None:
    body = bytes(range(256)) * (sum(sizes) // 256 + 1)
    chunks, start = [], 0
    for size in sizes:
        chunks.append(body[start : start + size])
        start += size
    body = body[:start]
    source, sink, progress = Chunks(chunks), Parts(), Progress()
    if not body:
        with pytest.raises(Aborted):
            await pipe(threads).pour(source, sink, LIMIT, progress)
        assert sink.parts == {}
        return
    received = await pipe(threads).pour(source, sink, LIMIT, progress)
    assert sink.body == body
    assert received == Received(len(body), hashlib.sha256(body).digest()) == source.verified
    assert sink.whole == (len(body) <= PART)
    assert sink.head == body[:512]
    assert progress.done == len(body)
    assert all(len(part) == PART for number, part in sink.parts.items() if number < len(sink.parts))


@pytest.mark.parametrize("size", [100, PART, 3 * PART + 1])
@pytest.mark.parametrize("wrong", ["verify", "short", "long", "limit"])
async def test_e5_a_wrong_body_is_never_finished(
    threads: ThreadPoolExecutor, size: int, wrong: str
) -> None:
    body = bytes(size)
    promised = {"short": size + 1, "long": size - 1}.get(wrong, 0)
    source, sink = Chunks([body], promised), Parts()
    source.refuse = wrong == "verify"
    limit = size - 1 if wrong == "limit" else size + 1
    with pytest.raises(ReelgateError) as caught:
        await pipe(threads).pour(source, sink, limit, Progress())
    assert isinstance(caught.value, ResourceExhausted if wrong == "limit" else Aborted)
    assert len(sink.body) < size


async def test_an_error_of_the_sink_comes_out_as_it_is(threads: ThreadPoolExecutor) -> None:
    class Broken(Parts):
        async def write(self, part: Part) -> None:
            if part.number == 2:
                raise OSError("disk on fire")

    one = pipe(threads)
    for _ in range(5):  # and no buffer is lost
        with pytest.raises(OSError, match="disk on fire"):
            await one.pour(Chunks([bytes(10 * PART)]), Broken(), LIMIT, Progress())


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 40_000), st.booleans(), st.integers(1, 3), st.integers(2, 8))
async def test_e4_as_many_parts_as_s3_takes_hold_any_body(
    threads: ThreadPoolExecutor, size: int, declared: bool, in_flight: int, most_parts: int
) -> None:
    total = 4 * PART
    body = bytes(range(256)) * (size // 256 + 1)
    body = body[:size]
    budget = Budget(total, 1000)
    # What is not declared may become as long as the limit.
    limit = 40_000 if declared else min(most_parts * total, size + 5000)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pipe_module, "MOST_PARTS", most_parts)
        patched.setattr(pipe_module, "_PART_STEP", 64)
        one = Pipe(budget, threads, parts_in_flight=in_flight)
        sink = Parts()
        reckoned = size if declared else limit
        least = math.ceil(reckoned / most_parts)
        sink.part_bytes = 1000 if least <= 1000 else min(total, math.ceil(least / 64) * 64)
        chunks = Chunks([body], size if declared else 0)
        if reckoned > most_parts * total or size > limit:
            with pytest.raises(ResourceExhausted):
                await one.pour(chunks, sink, limit, Progress())
            assert sink.parts == {}
        else:
            async with asyncio.timeout(5):
                received = await one.pour(chunks, sink, limit, Progress())
            assert received.sha256 == hashlib.sha256(body).digest()
            assert sink.body == body
            assert len(sink.parts) <= most_parts
            *equal, last = (len(sink.parts[number]) for number in sorted(sink.parts))
            assert set(equal) <= {sink.part_bytes}
            assert last <= sink.part_bytes
    async with asyncio.timeout(1):
        await budget.take(total)  # all of it is back


async def test_e4_bodies_of_all_sizes_share_one_budget_without_waiting_for_ever(
    threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipe_module, "MOST_PARTS", 4)
    monkeypatch.setattr(pipe_module, "_PART_STEP", 1)
    budget = Budget(4 * PART, 1000)
    one = Pipe(budget, threads, parts_in_flight=3)

    async def move(size: int) -> None:
        sink = Parts()
        sink.part_bytes = max(1000, -(-size // 4))
        body = bytes([size % 256]) * size
        await one.pour(
            Chunks([body[: size // 2], body[size // 2 :]], size), sink, LIMIT, Progress()
        )
        assert sink.body == body

    async with asyncio.timeout(20):
        await asyncio.gather(*(move(1 + number * 997 % (16 * PART)) for number in range(80)))
        await budget.take(4 * PART)

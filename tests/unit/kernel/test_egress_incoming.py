"""E4: a body goes from the socket straight into the memory where it is wanted, whole or with an error."""

import asyncio
import hashlib
import random
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from services.kernel.egress import Egress, EgressFailed, Incoming, Policy, Timeouts, parse_origins
from tests.unit.kernel.egress_servers import Answer, Served, saying, self_signed, serving

MIB = 1 << 20
BODY = random.Random(4).randbytes(20 * MIB)
IDLE_SECONDS = 0.2


class Read(NamedTuple):
    """What came, and how often some did."""

    body: bytes
    times: int


async def read(incoming: Incoming, *, step: int = 8 * MIB) -> Read:
    found, pieces = bytearray(), list[int]()
    while True:
        space = bytearray(step)
        before = sum(pieces)
        count = await incoming.fill(memoryview(space), pieces.append)
        assert count == sum(pieces) - before
        found += space[:count]
        if count < step:
            return Read(bytes(found), len(pieces))


@asynccontextmanager
async def asking(
    server: Served, *, tls: ssl.SSLContext | None = None, total: float | None = None
) -> AsyncIterator[Incoming]:
    url = f"https://localhost:{server.port}" if tls else server.url
    policy = Policy(private=parse_origins(url))
    timeouts = Timeouts(read=IDLE_SECONDS, total=total)
    async with (
        Egress(policy, tls=tls) as egress,
        egress.download(f"{url}/", timeouts=timeouts) as incoming,
    ):
        yield incoming


def breaking(at: int, *, then: str) -> Answer:
    """Promises all of the body, and gives the first `at` bytes."""

    async def answer(head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY))
        writer.write(BODY[:at])
        await writer.drain()
        if then == "close":
            writer.close()
        else:
            await reader.read()

    return answer


@pytest.mark.parametrize("secured", [False, True])
@pytest.mark.parametrize("step", [8 * MIB, 64 * MIB, 1 * MIB - 1, 20 * MIB])
async def test_e4_a_long_body_arrives_as_it_is(secured: bool, step: int, tmp_path: Path) -> None:
    server_tls, client_tls = self_signed(tmp_path, "localhost") if secured else (None, None)
    async with (
        serving(saying(BODY), tls=server_tls) as server,
        asking(server, tls=client_tls) as incoming,
    ):
        found = await read(incoming, step=step)
        assert await incoming.fill(memoryview(bytearray(1)), print) == 0
    assert hashlib.sha256(found.body).digest() == hashlib.sha256(BODY).digest()
    assert found.times > 1, "progress is told"


async def test_e4_the_bytes_go_past_the_http_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or all the other tests here would look at something else."""
    given = list[int]()
    feed = Incoming._some

    async def counted(incoming: Incoming, space: memoryview) -> int:
        direct = not incoming._came and incoming._direct is not None
        count = await feed(incoming, space)
        given.append(count if direct else 0)
        return count

    monkeypatch.setattr(Incoming, "_some", counted)
    async with serving(saying(BODY)) as server, asking(server) as incoming:
        await read(incoming)
    assert sum(given) > len(BODY) - 2 * MIB


@pytest.mark.parametrize("size", [0, 1, 1000, MIB - 1, MIB])
async def test_e4_a_short_body_leaves_its_connection_to_the_next(size: int) -> None:
    async with serving(saying(BODY[:size])) as server:
        policy = Policy(private=parse_origins(server.url))
        async with Egress(policy) as egress:
            for _ in range(3):
                async with egress.download(server.url) as incoming:
                    assert (await read(incoming)).body == BODY[:size]
        assert server.connections == 1 if size < MIB else server.connections <= 3


async def test_e4_a_body_in_chunks_arrives_as_it_is() -> None:
    async def chunked(
        head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for start in range(0, len(BODY), 100_001):
            piece = BODY[start : start + 100_001]
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
        writer.write(b"0\r\n\r\n")

    async with serving(chunked) as server, asking(server) as incoming:
        assert (await read(incoming)).body == BODY


@pytest.mark.parametrize(
    "wrong", [b"zz\r\n", b"-5\r\n", b"5\r\n123456", b"0\r\n" + b"X-Y: z\r\n" * 5000]
)
async def test_e5_broken_framing_is_told_from_a_broken_connection(wrong: bytes) -> None:
    async def broken(head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await asyncio.sleep(0.05)
        writer.write(wrong)
        await reader.read()

    async with serving(broken) as server, asking(server) as incoming:
        with pytest.raises(EgressFailed) as caught:
            await read(incoming)
        assert caught.value.kind == "protocol"


async def test_e4_what_follows_the_body_is_not_of_it() -> None:
    longer = BODY + b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad"
    answer = saying(longer, headers={"Content-Length": str(len(BODY))})
    async with serving(answer) as server:
        policy = Policy(private=parse_origins(server.url))
        async with Egress(policy) as egress:
            for _ in range(3):
                async with egress.download(server.url) as incoming:
                    assert (await read(incoming)).body == BODY


@pytest.mark.parametrize("then", ["close", "hang"])
async def test_e5_a_body_that_breaks_off_is_an_error_behind_what_came(then: str) -> None:
    chance = random.Random(5)
    cuts = [0, 1, MIB, 8 * MIB, len(BODY) - 1, *(chance.randrange(len(BODY)) for _ in range(6))]
    for cut in cuts:
        async with serving(breaking(cut, then=then)) as server, asking(server) as incoming:
            space, seen = bytearray(len(BODY)), list[int]()
            with pytest.raises(EgressFailed) as caught:
                await incoming.fill(memoryview(space), seen.append)
            assert caught.value.kind == ("reset" if then == "close" else "timeout")
            assert caught.value.sent
            assert sum(seen) == cut
            assert space[:cut] == BODY[:cut]
            assert not any(space[cut:])
            with pytest.raises(EgressFailed):  # and stays one
                await incoming.fill(memoryview(space), seen.append)


async def test_e5_all_of_it_has_a_time_limit_too() -> None:
    async def dripping(
        head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY))
        for start in range(len(BODY)):
            writer.write(BODY[start : start + 1])
            await asyncio.sleep(0.02)

    async with serving(dripping) as server, asking(server, total=0.5) as incoming:
        begin = asyncio.get_running_loop().time()
        with pytest.raises(EgressFailed) as caught:
            await read(incoming)
        assert caught.value.kind == "timeout"
        assert 0.4 < asyncio.get_running_loop().time() - begin < 2


async def test_e5_a_body_whose_time_was_over_before_it_was_read_is_a_timeout() -> None:
    async with serving(saying(BODY)) as server, asking(server, total=0.1) as incoming:
        await asyncio.sleep(0.3)
        with pytest.raises(EgressFailed) as caught:
            await read(incoming)
        assert caught.value.kind == "timeout"


async def test_e5_a_source_is_not_blamed_for_our_pauses() -> None:
    async with serving(saying(BODY)) as server, asking(server) as incoming:
        found = bytearray()
        for _ in range(4):
            space = bytearray(5 * MIB)
            assert await incoming.fill(memoryview(space), lambda _: None) == len(space)
            found += space
            await asyncio.sleep(1.5 * IDLE_SECONDS)
    assert found == BODY


async def test_e4_nothing_is_written_into_memory_that_was_given_back() -> None:
    async with serving(breaking(12 * MIB, then="hang")) as server, asking(server) as incoming:
        space, seen = bytearray(len(BODY)), list[int]()

        def stop_at_a_megabyte(count: int) -> None:
            seen.append(count)
            if sum(seen) > MIB:
                raise InterruptedError

        with pytest.raises(InterruptedError):
            await incoming.fill(memoryview(space), stop_at_a_megabyte)
        came = sum(seen)
        space[:] = bytes(len(BODY))
        await asyncio.sleep(0.05)
        assert not any(space)

        # A reader that was cancelled has given it back as well.
        rest = asyncio.create_task(incoming.fill(memoryview(space), seen.append))
        while sum(seen) < 12 * MIB:
            await asyncio.sleep(0.001)
        assert bytes(space[: sum(seen) - came]) == BODY[came : sum(seen)]
        rest.cancel()
        with pytest.raises(asyncio.CancelledError):
            await rest
    assert server.connections == 1

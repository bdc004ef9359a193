"""B8: a stream that can not be sent again is read to its end also when its first reader goes away."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.kernel.errors import Aborted
from services.storage.sources.stream import StreamSource
from tests.contents import read

CHUNK = bytes(range(256)) * 400  # 100 KiB


async def stream(count: int, held: asyncio.Event) -> AsyncIterator[bytes]:
    for number in range(count):
        if number == count // 2:
            await held.wait()
        yield bytes([number]) + CHUNK


async def drain(source: StreamSource, most: int = 10**9) -> bytes:
    async with source.open() as body:
        return await read(body.content, most)


@pytest.mark.parametrize("read_before", [1, 500_000, 2_000_000, 10**9])
async def test_b8_a_second_reader_begins_at_the_first_byte(
    tmp_path: Path, read_before: int
) -> None:
    held = asyncio.Event()
    source = StreamSource(stream(60, held), 0, tmp_path / "spool")
    asyncio.get_running_loop().call_later(0.05, held.set)
    first = await drain(source, read_before)
    whole = b"".join(bytes([number]) + CHUNK for number in range(60))
    assert whole.startswith(first)
    assert await drain(source) == whole
    await source.close()
    assert list((tmp_path / "spool").iterdir()) == []  # it has no name


async def test_b8_a_reader_that_is_cancelled_while_it_waits_tears_nothing(tmp_path: Path) -> None:
    held = asyncio.Event()
    source = StreamSource(stream(30, held), 0, tmp_path)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await drain(source)
    held.set()
    assert len(await drain(source)) == 30 * (len(CHUNK) + 1)
    await source.close()


async def test_b8_a_full_disk_only_takes_the_second_try_away(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("not a directory")
    held = asyncio.Event()
    held.set()
    source = StreamSource(stream(30, held), 0, tmp_path / "spool")
    assert len(await drain(source)) == 30 * (len(CHUNK) + 1)
    assert not source.repeatable
    await source.close()


async def test_an_error_of_the_stream_reaches_the_reader(tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x"
        raise Aborted("gone")

    source = StreamSource(broken(), 0, tmp_path)
    with pytest.raises(Aborted):
        await drain(source)
    await source.close()

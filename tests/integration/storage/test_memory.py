"""E4: memory is bounded by buffers, not by files."""

import asyncio
import hashlib

import pytest

from reelgate.storage.v1 import storage_pb2
from tests.conftest import S3Access
from tests.integration.storage.conftest import MakeStorage
from tests.integration.storage.harness import MIB, Source, new_run, video

_SIZE = 200 * MIB


@pytest.fixture(scope="module")
def large() -> bytes:
    """200 MiB that repeat, so that making them takes no time."""
    return video(8 * MIB) + video(8 * MIB, seed=1) * 24


@pytest.mark.parametrize("how", ["ingest", "upload", "local"])
async def test_e4_a_200_mb_file_grows_the_process_by_less_than_48_mib(
    make_storage: MakeStorage, s3: S3Access, source: Source, large: bytes, how: str
) -> None:
    process = make_storage(None if how == "local" else s3)
    async with process.client() as client:
        await client.ingest(source.serve(video(6 * MIB)))  # so that all code is loaded
        before = process.rss()
        if how == "upload":
            kept = await client.upload(large, run=new_run())
        else:
            kept = await client.ingest(source.serve(large))
        assert kept.sha256 == hashlib.sha256(large).digest()
        assert kept.size_bytes == len(large) == _SIZE
        grown = process.rss("VmHWM") - before
        print(f"{how}: before {before / MIB:.0f} MiB, grown by {grown / MIB:.1f} MiB")
        assert grown < 48 * MIB


async def test_many_transfers_share_one_budget(
    make_storage: MakeStorage, s3: S3Access, source: Source
) -> None:
    body = video(12 * MIB)
    digest = hashlib.sha256(body).digest()
    process = make_storage(s3, REELGATE_STORAGE_BUFFER_BYTES=str(32 * MIB))
    async with process.client() as client:
        await client.ingest(source.serve(video(6 * MIB)))
        before = process.rss()
        url = source.serve(body)
        kept: list[storage_pb2.StoredObject] = await asyncio.gather(
            *(client.ingest(url) for _ in range(16))
        )
        assert {one.sha256 for one in kept} == {digest}
        grown = process.rss("VmHWM") - before
        print(f"16 at once: grown by {grown / MIB:.1f} MiB")
        assert grown < 32 * MIB + 48 * MIB
    assert "reelgate_storage_buffer_bytes 0.0" in process.metrics()

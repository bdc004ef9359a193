"""One suite for both tiers: S3 on a real server, and local disk. A third tier would join the list of fixtures."""

import asyncio
import zlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import uuid4

import pytest

from services.kernel.egress import Egress, Policy
from services.kernel.ids import new_id
from services.storage.blobs_local import LocalBlobs
from services.storage.blobs_s3 import open_s3
from services.storage.ports import Blobs, Part, Place, TierFailed
from services.storage.target import S3Target
from tests.conftest import S3Access
from tests.integration.storage.harness import MIB, video

PART = 5 * MIB


def target_of(s3: S3Access, *, endpoint: str = "", secret: str = "") -> S3Target:
    return S3Target(
        endpoint=endpoint or s3.endpoint,
        public_endpoint="",
        region=s3.region,
        bucket=s3.bucket,
        access_key_id=s3.access_key_id,
        secret_access_key=secret or s3.secret_access_key,
        prefix=f"{uuid4().hex}/",
        path_style=True,
        cdn_url="",
    )


@pytest.fixture(params=["s3", "local"])
async def blobs(
    request: pytest.FixtureRequest, s3: S3Access, tmp_path: Path
) -> AsyncIterator[Blobs]:
    async with AsyncExitStack() as stack:
        if request.param == "s3":
            egress = await stack.enter_async_context(Egress(Policy()))
            yield await stack.enter_async_context(open_s3(target_of(s3), egress))
        else:
            local = LocalBlobs(tmp_path / "root", min_free_bytes=0)
            await local.use_volume(new_id(), mark=True)
            yield local


def place(blobs: Blobs, *, whole: bool, again: bool = False, key: str = "") -> Place:
    name = key or f"{blobs.prefix}{uuid4()}/2026/01/02/{uuid4()}.mp4"
    return Place(name, "video/mp4", new_id(), whole, again)


def parts(body: bytes) -> list[Part]:
    pieces = [body[start : start + PART] for start in range(0, len(body), PART)]
    return [
        Part(number, (number - 1) * PART, memoryview(piece), zlib.crc32(piece))
        for number, piece in enumerate(pieces, start=1)
    ]


async def store(blobs: Blobs, where: Place, body: bytes) -> None:
    writer = await blobs.create(where)
    await asyncio.gather(*(writer.write(part) for part in reversed(parts(body))))
    await writer.complete()


async def read(blobs: Blobs, key: str, offset: int, length: int) -> bytes:
    async with blobs.read(key, offset, length) as chunks:
        found = [chunk async for chunk in chunks]
    assert all(0 < len(chunk) <= 256 * 1024 for chunk in found)
    return b"".join(found)


async def is_there(blobs: Blobs, key: str) -> bool:
    try:
        await read(blobs, key, 0, 1)
    except TierFailed as failure:
        assert failure.trouble == "missing"
        return False
    return True


@pytest.mark.parametrize("size", [1, PART - 1, PART, PART + 1, 12 * MIB])
async def test_e8_what_is_written_in_parts_is_read_back(blobs: Blobs, size: int) -> None:
    body = video(max(size, 24))[:size]
    where = place(blobs, whole=size <= PART)
    await store(blobs, where, body)
    assert await read(blobs, where.key, 0, size) == body
    assert await read(blobs, where.key, size - 1, 1) == body[-1:]


async def test_writing_again_under_the_same_key_replaces(blobs: Blobs) -> None:
    where = place(blobs, whole=False)
    await store(blobs, where, video(6 * MIB, seed=1))
    again = place(blobs, whole=False, again=True, key=where.key)
    await store(blobs, again, video(6 * MIB, seed=2))
    assert await read(blobs, where.key, 0, 6 * MIB) == video(6 * MIB, seed=2)


async def test_nothing_is_seen_before_complete_nor_after_abort(blobs: Blobs) -> None:
    where = place(blobs, whole=False)
    writer = await blobs.create(where)
    for part in parts(video(6 * MIB)):
        await writer.write(part)
    assert not await is_there(blobs, where.key)
    await writer.abort()
    assert not await is_there(blobs, where.key)
    await writer.abort()  # also a second time


async def test_removing_is_idempotent_and_takes_unfinished_pieces_along(blobs: Blobs) -> None:
    where = place(blobs, whole=False)
    await store(blobs, where, video(6 * MIB))
    left = await blobs.create(place(blobs, whole=False, key=where.key))
    await left.write(parts(video(PART))[0])
    for _ in range(2):
        await blobs.remove(where.key, unfinished=True)
        assert not await is_there(blobs, where.key)
    if not isinstance(blobs, LocalBlobs):
        with pytest.raises(TierFailed):
            await left.write(parts(video(PART))[0])


async def test_what_is_not_there_is_missing(blobs: Blobs) -> None:
    await blobs.check()
    assert not await is_there(blobs, place(blobs, whole=True).key)


async def test_a_spoiled_part_is_refused_by_s3(s3: S3Access) -> None:
    async with Egress(Policy()) as egress, open_s3(target_of(s3), egress) as blobs:
        where = place(blobs, whole=True)
        writer = await blobs.create(where)
        with pytest.raises(TierFailed) as caught:
            await writer.write(Part(1, 0, memoryview(b"\x89PNG\r\n\x1a\n"), crc32=1))
        assert caught.value.trouble == "overloaded"  # sums are spoiled on the way: worth repeating
        assert not await is_there(blobs, where.key)


@pytest.mark.parametrize(
    ("wrong", "trouble"),
    [("secret", "refused"), ("bucket", "missing"), ("endpoint", "connect")],
)
async def test_what_is_wrong_with_s3_is_told_apart(s3: S3Access, wrong: str, trouble: str) -> None:
    if wrong == "secret":
        target = target_of(s3, secret="wrong")
    elif wrong == "endpoint":
        target = target_of(s3, endpoint="http://127.0.0.1:9")
    else:
        known = target_of(s3)
        target = S3Target(
            known.endpoint, "", known.region, "no-such-bucket", known.access_key_id,
            known.secret_access_key, "", path_style=True, cdn_url="",
        )  # fmt: skip
    async with Egress(Policy()) as egress, open_s3(target, egress) as blobs:
        with pytest.raises(TierFailed) as caught:
            await blobs.check()
        assert caught.value.trouble == trouble
        with pytest.raises(TierFailed) as caught:
            await store(blobs, place(blobs, whole=True), video(100))
        assert caught.value.trouble == trouble

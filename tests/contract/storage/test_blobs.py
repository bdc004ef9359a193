"""E8: one suite for every tier: S3 on two servers that have nothing in common, and local disk."""

import asyncio
import zlib
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import aiohttp
import pytest

from services.kernel.ids import new_id
from services.storage.objects import thumbnail_key
from services.storage.ports import Blobs, Part, Place, TierFailed, Writer
from services.storage.s3.blobs import S3Blobs
from tests.conftest import S3Access
from tests.contract.storage.implementations import (
    ALL,
    SERVERS,
    Can,
    Implementation,
    opened,
    s3_blobs,
    spoiled,
    target_of,
    those_that,
    those_that_do_not,
)
from tests.integration.storage.harness import MIB, video

PART = 5 * MIB


@pytest.fixture(params=ALL, ids=str)
def which(request: pytest.FixtureRequest) -> Implementation:
    chosen: Implementation = request.param
    return chosen


@pytest.fixture
async def blobs(
    which: Implementation, accesses: dict[str, S3Access], tmp_path: Path
) -> AsyncIterator[Blobs]:
    async with opened(which, accesses, tmp_path) as blobs:
        yield blobs


def on(*chosen: Implementation) -> pytest.MarkDecorator:
    """Runs a test on these only."""
    return pytest.mark.parametrize("which", chosen, ids=str, indirect=True)


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


async def begun(blobs: Blobs, where: Place) -> Writer:
    """An upload that is not finished."""
    writer = await blobs.create(where)
    for part in parts(video(6 * MIB)):
        await writer.write(part)
    return writer


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


async def unfinished(blobs: Blobs) -> int:
    return sum([len(page) async for page in blobs.unfinished()])


# Writing


@pytest.mark.parametrize("size", [1, PART - 1, PART, PART + 1, 12 * MIB])
async def test_e8_what_is_written_in_parts_of_any_order_is_read_back(
    blobs: Blobs, size: int
) -> None:
    body = video(max(size, 24))[:size]
    where = place(blobs, whole=size <= PART)
    await store(blobs, where, body)
    assert await read(blobs, where.key, 0, size) == body
    assert await unfinished(blobs) == 0


async def test_e8_a_body_of_one_part_may_be_written_as_if_there_were_more(blobs: Blobs) -> None:
    where = place(blobs, whole=False)
    await store(blobs, where, video(100))
    assert await read(blobs, where.key, 0, 100) == video(100)


@pytest.mark.parametrize(
    ("offset", "length"),
    [
        (0, 1),
        (0, PART),
        (PART - 1, 2),
        (PART, 1),
        (PART + 1, MIB - 1),
        (6 * MIB - 1, 1),
        (0, 6 * MIB),
    ],
)
async def test_e8_any_range_is_read(blobs: Blobs, offset: int, length: int) -> None:
    body = video(6 * MIB)
    where = place(blobs, whole=False)
    await store(blobs, where, body)
    assert await read(blobs, where.key, offset, length) == body[offset : offset + length]


@pytest.mark.parametrize("sizes", [(6 * MIB, 6 * MIB), (6 * MIB, 100), (100, 6 * MIB), (100, 200)])
async def test_writing_again_under_the_same_key_replaces(
    blobs: Blobs, sizes: tuple[int, int]
) -> None:
    key = place(blobs, whole=True).key
    for seed, size in enumerate(sizes):
        where = place(blobs, whole=size <= PART, again=seed > 0, key=key)
        await store(blobs, where, video(size, seed=seed))
    assert await read(blobs, key, 0, sizes[1]) == video(sizes[1], seed=1)


async def test_what_is_being_replaced_is_read_as_it_was(blobs: Blobs) -> None:
    where = place(blobs, whole=True)
    await store(blobs, where, video(100, seed=1))
    writer = await begun(blobs, place(blobs, whole=False, key=where.key))
    assert await read(blobs, where.key, 0, 100) == video(100, seed=1)
    await writer.abort()
    assert await read(blobs, where.key, 0, 100) == video(100, seed=1)


async def test_two_bodies_under_one_key_at_once_leave_one_of_them_whole(blobs: Blobs) -> None:
    key = place(blobs, whole=True).key
    bodies = [video(6 * MIB, seed=seed) for seed in (1, 2)]
    await asyncio.gather(
        *(store(blobs, place(blobs, whole=False, key=key), body) for body in bodies)
    )
    assert await read(blobs, key, 0, 6 * MIB) in bodies
    assert await unfinished(blobs) == 0


# Not writing


async def test_nothing_is_seen_before_complete_nor_after_abort(blobs: Blobs) -> None:
    where = place(blobs, whole=False)
    writer = await begun(blobs, where)
    assert not await is_there(blobs, where.key)
    assert not [one async for page in blobs.listing() for one in page]
    assert await unfinished(blobs) == 1
    await writer.abort()
    assert not await is_there(blobs, where.key)
    assert await unfinished(blobs) == 0
    await writer.abort()  # also a second time


async def test_an_abort_behind_complete_takes_nothing_away(blobs: Blobs) -> None:
    where = place(blobs, whole=False)
    writer = await begun(blobs, where)
    await writer.complete()
    await writer.abort()
    assert await read(blobs, where.key, 0, 6 * MIB) == video(6 * MIB)


async def test_a_writer_that_was_never_used_can_be_aborted(blobs: Blobs) -> None:
    for whole in (True, False):
        writer = await blobs.create(place(blobs, whole=whole))
        await writer.abort()
    assert await unfinished(blobs) == 0


# Removing


async def test_removing_is_idempotent(blobs: Blobs) -> None:
    where = place(blobs, whole=True)
    await store(blobs, where, video(100))
    for _ in range(2):
        await blobs.remove(where.key, unfinished=False)
        assert not await is_there(blobs, where.key)
        assert not await blobs.holds(where.key)
    await blobs.remove(place(blobs, whole=True).key, unfinished=True)  # never was one


async def test_removing_one_key_leaves_its_neighbours(blobs: Blobs) -> None:
    where = place(blobs, whole=True)
    beside = thumbnail_key(where.key)
    await store(blobs, where, video(100))
    await store(blobs, place(blobs, whole=True, key=beside), video(50))
    left = await begun(blobs, place(blobs, whole=False))
    await blobs.remove(where.key, unfinished=True)
    assert await read(blobs, beside, 0, 50) == video(50)
    assert await unfinished(blobs) == 1
    await left.abort()


@on(*those_that(Can.KEEP_UPLOADS_APART))
async def test_removing_takes_unfinished_pieces_along(blobs: Blobs, which: Implementation) -> None:
    where = place(blobs, whole=False)
    await store(blobs, where, video(6 * MIB))
    left = [await begun(blobs, place(blobs, whole=False, key=where.key)) for _ in range(2)]
    assert await unfinished(blobs) == 2
    await blobs.remove(where.key, unfinished=True)
    assert not await is_there(blobs, where.key)
    assert await unfinished(blobs) == 0
    for writer in left:
        with pytest.raises(TierFailed):
            await writer.complete()
        await writer.abort()
    assert not await is_there(blobs, where.key), which


async def test_trying_again_removes_what_an_earlier_try_left(blobs: Blobs) -> None:
    where = place(blobs, whole=False)
    await begun(blobs, where)
    await store(blobs, place(blobs, whole=True, again=True, key=where.key), video(100))
    await blobs.remove(where.key, unfinished=True)
    assert await unfinished(blobs) == 0


# What is where


async def test_what_is_not_there_is_missing(blobs: Blobs) -> None:
    await blobs.check()
    missing = place(blobs, whole=True).key
    assert not await is_there(blobs, missing)
    assert not await blobs.holds(missing)


async def test_a_listing_names_every_key_in_order_with_its_size(blobs: Blobs) -> None:
    where = sorted(place(blobs, whole=True).key for _ in range(7))
    for size, key in enumerate(where, start=1):
        await store(blobs, place(blobs, whole=True, key=key), video(24)[:size])
    found = [one async for page in blobs.listing() for one in page]
    assert [(one.key, one.size_bytes) for one in found] == list(
        zip(where, range(1, 8), strict=True)
    )


@pytest.mark.parametrize(
    "name",
    [
        f"{'a' * 100}/{'b' * 100}.mp4",
        f"{'/'.join('abcdefghijkl')}/x.mp4",
        "A-Z_0/9.jpg",
        # No random ids: each test process has to collect the same names.
        f"input/{UUID(int=1)}/{UUID(int=2)}.thumb.webp",
    ],
)
async def test_keys_at_the_limits_are_keys(blobs: Blobs, name: str) -> None:
    key = blobs.prefix + name
    await store(blobs, place(blobs, whole=True, key=key), video(100))
    assert await read(blobs, key, 10, 20) == video(100)[10:30]
    assert [one.key async for page in blobs.listing() for one in page] == [key]
    await blobs.remove(key, unfinished=True)
    assert not await is_there(blobs, key)


# Links


def linked(blobs: Blobs) -> S3Blobs:
    assert isinstance(blobs, S3Blobs)
    return blobs


@on(*those_that(Can.LINK))
@pytest.mark.parametrize("size", [100, 6 * MIB])
async def test_e5_e7_a_link_gives_the_bytes_as_what_they_are_and_for_ever(
    blobs: Blobs, which: Implementation, size: int
) -> None:
    where = place(blobs, whole=size <= PART)
    await store(blobs, where, video(size))
    link = await blobs.link(where.key, "")
    async with aiohttp.ClientSession() as web, web.get(link.url) as answer:
        assert answer.status == 200
        assert await answer.read() == video(size)
        assert answer.headers["Content-Type"] == "video/mp4"
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert "Content-Disposition" not in answer.headers


@on(*those_that(Can.LINK))
async def test_e7_a_link_with_a_name_saves_under_it(blobs: Blobs, which: Implementation) -> None:
    where = place(blobs, whole=True)
    await store(blobs, where, video(100))
    hostile = 'Кот "1"\r\nSet-Cookie: a=b.mp4'
    link = await blobs.link(where.key, hostile)
    async with aiohttp.ClientSession() as web, web.get(link.url) as answer:
        assert answer.status == 200
        assert "Set-Cookie" not in answer.headers
        said = answer.headers["Content-Disposition"]
        assert said.startswith("attachment; filename=")
        assert "%D0%9A%D0%BE%D1%82" in said


@on(*those_that(Can.LINK))
async def test_e7_a_link_that_was_tampered_with_gives_nothing(
    blobs: Blobs, which: Implementation
) -> None:
    where, other = place(blobs, whole=True), place(blobs, whole=True)
    for one in (where, other):
        await store(blobs, one, video(100))
    url = (await blobs.link(where.key, "")).url
    spoilt = (
        url.split("?", maxsplit=1)[0],
        url.replace(where.key, other.key),
        url.replace("X-Amz-Expires=86400", "X-Amz-Expires=604800"),
    )
    async with aiohttp.ClientSession() as web:
        for bad in spoilt:
            async with web.get(bad) as answer:
                assert answer.status in {400, 403}, (which, bad)


@on(*those_that(Can.LINK))
async def test_e7_a_presigned_put_takes_exactly_what_was_announced(
    blobs: Blobs, which: Implementation
) -> None:
    s3 = linked(blobs)
    key = f"{blobs.prefix}.incoming/{uuid4()}"
    announced = {"Content-Type": "image/png", "Content-Length": "100"}
    url = await s3.upload_url(key, announced, timedelta(hours=1))
    wrong = ((101, "image/png"), (99, "image/png"), (100, "text/html"))
    async with aiohttp.ClientSession() as web:
        for size, content_type in wrong:
            async with web.put(
                url, data=bytes(size), headers={"Content-Type": content_type}
            ) as answer:
                assert answer.status == 403, which
            assert await s3.size(key) is None
        async with web.put(url, data=bytes(100), headers={"Content-Type": "image/png"}) as answer:
            assert answer.status == 200
    assert await s3.size(key) == 100


@on(*those_that_do_not(Can.LINK))
async def test_e7_without_links_the_bytes_are_read_through_us(
    blobs: Blobs, which: Implementation
) -> None:
    link = await blobs.link(place(blobs, whole=True).key, "x.mp4")
    assert (link.url, link.expires_at) == ("", None), which


# Troubles


@on(*those_that(Can.CHECK_PARTS))
@pytest.mark.parametrize("whole", [True, False])
async def test_e5_a_spoiled_part_is_refused(
    blobs: Blobs, which: Implementation, whole: bool
) -> None:
    where = place(blobs, whole=whole)
    writer = await blobs.create(where)
    with pytest.raises(TierFailed) as caught:
        await writer.write(Part(1, 0, memoryview(b"\x89PNG\r\n\x1a\n"), crc32=1))
    assert caught.value.trouble == "overloaded", which  # spoiled on the way: worth repeating
    await writer.abort()
    assert not await is_there(blobs, where.key)


@on(*those_that_do_not(Can.CHECK_PARTS))
async def test_where_parts_are_not_checked_they_are_taken_as_they_are(
    blobs: Blobs, which: Implementation
) -> None:
    where = place(blobs, whole=True)
    writer = await blobs.create(where)
    await writer.write(Part(1, 0, memoryview(b"\x89PNG\r\n\x1a\n"), crc32=1))
    await writer.complete()
    assert await read(blobs, where.key, 0, 8) == b"\x89PNG\r\n\x1a\n", which


@pytest.mark.parametrize("server", SERVERS, ids=str)
@pytest.mark.parametrize(
    ("wrong", "trouble"),
    [("secret", "refused"), ("bucket", "missing"), ("endpoint", "connect")],
)
async def test_e3_what_is_wrong_with_s3_is_told_apart(
    accesses: dict[str, S3Access], server: Implementation, wrong: str, trouble: str
) -> None:
    async with s3_blobs(spoiled(target_of(accesses[server.name]), wrong)) as blobs:
        key = place(blobs, whole=True).key

        for what, does in {
            "check": blobs.check(),
            "put": store(blobs, place(blobs, whole=True), video(100)),
            "multipart": store(blobs, place(blobs, whole=False), video(100)),
            "remove": blobs.remove(key, unfinished=False),
            "unfinished": blobs.remove(key, unfinished=True),
        }.items():
            with pytest.raises(TierFailed) as caught:
                await does
            assert caught.value.trouble == trouble, (what, caught.value.detail)

"""E13: what becomes of an object whose thumbnail can not be made."""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from services.kernel.ids import new_id
from services.storage.objects import Tier
from services.storage.ports import Part, Place, TierFailed
from services.storage.store.thumbnails import Claim
from services.storage.thumbnailer.protocol import Job, Refusal, Thumbnail
from services.storage.thumbnails.process import NoThumbnailerError, Reader, ThumbnailerDiedError
from services.storage.thumbnails.worker import Thumbnails

PICTURE = Thumbnail(1280, 720, 5000, b"RIFF....WEBP")
Draw = Callable[[Job, Reader], Awaitable[Thumbnail | Refusal]]


def claim(tries: int = 1, *, being_removed: bool = False) -> Claim:
    now = datetime.now(UTC)
    return Claim(
        new_id(), new_id(), 0, Tier.LOCAL, "u/2026/a.mp4", "video/mp4", 9, tries, now, being_removed
    )


class Rows:
    """The store: gives each claim once, writes down what is said about it."""

    def __init__(self, *claims: Claim) -> None:
        self.claims = list(claims)
        self.said: list[tuple[Any, ...]] = []
        self.is_still_mine = self.is_mine_in_the_end = True

    async def claim(self, tiers: list[Tier]) -> Claim | None:
        return self.claims.pop(0) if self.claims else None

    async def is_mine(self, one: Claim) -> bool:
        return self.is_still_mine

    async def done(self, one: Claim, **measures: int) -> bool:
        self.said.append(("done", measures))
        return self.is_mine_in_the_end

    async def none(self, one: Claim) -> bool:
        self.said.append(("none",))
        return self.is_mine_in_the_end

    async def later(self, one: Claim, seconds: float, *, forgiven: bool) -> None:
        self.said.append(("later", seconds > 5, forgiven))

    async def due_in_seconds(self, tiers: list[Tier]) -> float:
        return math.inf

    async def remove(self, one: Claim, key: str) -> None:
        self.said.append(("remove", key))


class Disk:
    """The tier, and the only one."""

    tier, prefix = Tier.LOCAL, ""

    def __init__(self) -> None:
        self.written: dict[str, bytes] = {}
        self.failure: TierFailed | None = None

    def is_healthy(self, tier: Tier) -> bool:
        return True

    def get(self, tier: Tier) -> "Disk":
        return self

    @asynccontextmanager
    async def read(self, key: str, offset: int, length: int) -> AsyncIterator[AsyncIterator[bytes]]:
        if self.failure:
            raise self.failure

        async def chunks() -> AsyncIterator[bytes]:
            yield b"123456789"[offset : offset + length]

        yield chunks()

    async def create(self, place: Place) -> "Disk":
        self.place = place
        return self

    async def write(self, part: Part) -> None:
        self.written[self.place.key] = bytes(part.data)

    async def complete(self) -> None:
        pass

    async def abort(self) -> None:
        pass


class Process:
    """The child."""

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        self.ended = False

    async def end(self) -> None:
        self.ended = True


class Cleaner:
    def __init__(self) -> None:
        self.woken = False

    def wake(self) -> None:
        self.woken = True


async def made(rows: Rows, draw: Draw, disk: Disk | None = None) -> tuple[Disk, Cleaner, bool]:
    """Works off the claims; the last value is whether it ended by itself."""
    disk, cleaner = disk or Disk(), Cleaner()
    process = Process(draw)
    work = asyncio.ensure_future(
        Thumbnails(
            cast("Any", rows), cast("Any", disk), cast("Any", cleaner), cast("Any", process)
        ).run()
    )
    done, _ = await asyncio.wait({work}, timeout=0.1)
    work.cancel()
    await asyncio.wait({work})
    assert process.ended
    return disk, cleaner, bool(done)


async def draws(job: Job, read: Reader) -> Thumbnail | Refusal:
    assert (job.content_type, job.size_bytes) == ("video/mp4", 9)
    assert await read(3, 2) == b"45"
    return PICTURE


def fails(error: BaseException) -> Draw:
    async def draw(job: Job, read: Reader) -> Thumbnail | Refusal:
        raise error

    return draw


def refuses(reason: str) -> Draw:
    async def draw(job: Job, read: Reader) -> Thumbnail | Refusal:
        return Refusal(reason)

    return draw


async def test_e13_a_picture_is_written_beside_its_object_and_noted() -> None:
    rows = Rows(claim())
    disk, cleaner, _ = await made(rows, draws)
    assert disk.written == {"u/2026/a.thumb.webp": PICTURE.webp}
    assert disk.place.content_type == "image/webp"
    assert rows.said == [
        ("done", {"size_bytes": 12, "width": 1280, "height": 720, "duration_ms": 5000})
    ]
    assert not cleaner.woken


async def test_e13_one_that_comes_too_late_is_removed() -> None:
    rows = Rows(claim())
    rows.is_mine_in_the_end = False
    _, cleaner, _ = await made(rows, draws)
    assert rows.said[-1] == ("remove", "u/2026/a.thumb.webp")
    assert cleaner.woken


async def test_e13_none_is_written_for_an_object_that_is_gone() -> None:
    rows = Rows(claim())
    rows.is_still_mine = False
    disk, _, _ = await made(rows, draws)
    assert disk.written == {}
    assert rows.said == []


@pytest.mark.parametrize(
    ("tries", "said"),
    [
        (1, [("later", True, False)]),
        (2, [("none",), ("remove", "u/2026/a.thumb.webp")]),
    ],
)
async def test_e13_a_file_that_kills_the_process_twice_is_never_tried_again(
    tries: int, said: list[Any]
) -> None:
    rows = Rows(claim(tries))
    await made(rows, fails(ThumbnailerDiedError("killed")))
    assert rows.said == said


async def test_e13_a_file_over_which_whole_services_died_is_not_even_opened() -> None:
    rows = Rows(claim(tries=4))
    await made(rows, fails(AssertionError("it must not be tried")))
    assert rows.said[0] == ("none",)


async def test_e13_a_refusal_is_final() -> None:
    rows = Rows(claim(), claim())
    await made(rows, refuses("TOO_LONG"))
    assert rows.said == [("none",), ("none",)]


async def test_e13_a_tier_that_fails_is_not_the_fault_of_the_file() -> None:
    rows, disk = Rows(claim(2)), Disk()
    disk.failure = TierFailed(Tier.LOCAL, "timeout", "away")
    await made(rows, draws, disk)
    assert rows.said == [("later", True, True)]


async def test_e13_nor_is_a_process_that_can_not_be_started() -> None:
    rows = Rows(claim(), claim())
    await made(rows, fails(NoThumbnailerError("fork")))
    assert rows.said == [("later", False, True)]
    assert len(rows.claims) == 1, "the next waits, too"


async def test_e13_without_its_libraries_nothing_is_refused() -> None:
    rows = Rows(claim(), claim())
    _, _, ended = await made(rows, refuses("NO_LIBRARY"))
    assert ended
    assert rows.said == [("later", False, True)]
    assert len(rows.claims) == 1


async def test_e13_where_they_are_not_installed_nothing_is_begun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.storage.thumbnails.worker._LIBRARIES", ("av", "no_such_library"))
    rows = Rows(claim())
    await Thumbnails(
        cast("Any", rows), cast("Any", Disk()), cast("Any", Cleaner()), cast("Any", Process(draws))
    ).run()
    assert rows.said == []


async def test_e13_nothing_is_written_where_old_bytes_are_still_being_removed() -> None:
    rows = Rows(claim(being_removed=True))
    disk, _, _ = await made(rows, draws)
    assert disk.written == {}
    assert rows.said == [("later", False, True)]


async def test_e13_a_stop_gives_the_object_back() -> None:
    rows = Rows(claim())

    async def draw(job: Job, read: Reader) -> Thumbnail | Refusal:
        await asyncio.sleep(60)
        raise AssertionError("it is stopped")

    await made(rows, draw)
    assert rows.said == [("later", False, True)]

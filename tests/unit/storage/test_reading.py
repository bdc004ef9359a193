"""E8: whoever reads an object while it is moved gets all of its bytes, each once."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from services.storage.objects import StoredObject, Tier
from services.storage.ports import TierFailed
from services.storage.reading import Reader

BODY = bytes(range(256)) * 40


def kept() -> StoredObject:
    return StoredObject(
        id=uuid4(), owner_id=uuid4(), generation_id=None, run=0, media_index=0, tier=Tier.S3, key="s3/x.mp4",
        size_bytes=len(BODY), content_type="video/mp4", sha256=bytes(32), width=0, height=0, duration_ms=0,
        created_at=datetime.now(UTC), thumbnail_bytes=0,
    )  # fmt: skip


class Tape:
    """A tier that gives bytes up to a point."""

    def __init__(self, tier: Tier, *, until: int, opens: bool = True) -> None:
        self.tier = tier
        self._until = until
        self._opens = opens
        self.closed = 0

    @asynccontextmanager
    async def read(self, key: str, offset: int, length: int) -> AsyncIterator[AsyncIterator[bytes]]:
        assert key.startswith(self.tier)
        if not self._opens:
            raise TierFailed(self.tier, "missing", "")
        yield self._chunks(offset, length)
        self.closed += 1

    async def _chunks(self, offset: int, length: int) -> AsyncIterator[bytes]:
        end = offset + length
        while offset < end:
            if offset >= self._until:
                raise TierFailed(self.tier, "broken", "")
            stop = min(end, self._until, offset + 1000)
            yield BODY[offset:stop]
            offset = stop


class World:
    """The two tiers, and where the row says that the object lies when it is asked again."""

    def __init__(self, s3: Tape, local: Tape, now: StoredObject | None) -> None:
        self.tapes = {Tier.S3: s3, Tier.LOCAL: local}
        self.now = now

    def get(self, place: object) -> Tape:
        assert isinstance(place, Tier)
        return self.tapes[place]


class Rows:
    """The store."""

    def __init__(self, now: StoredObject | None) -> None:
        self._now = now

    async def get(self, object_id: object) -> StoredObject | None:
        return self._now


async def read(world: World, found: StoredObject, offset: int = 0) -> bytes:
    reader = Reader(Rows(world.now), world)  # type: ignore[arg-type]
    async with reader.open(found, offset, len(BODY) - offset, thumbnail=False) as chunks:
        return b"".join([chunk async for chunk in chunks])


@pytest.mark.parametrize("until", [0, 1, 999, 1000, 5500, len(BODY) - 1])
@pytest.mark.parametrize("offset", [0, 500])
async def test_a_read_goes_on_at_the_new_place(until: int, offset: int) -> None:
    found = kept()
    moved = replace(found, tier=Tier.LOCAL, key="local/x.mp4")
    local = Tape(Tier.LOCAL, until=len(BODY))
    world = World(Tape(Tier.S3, until=until), local, moved)
    assert await read(world, found, offset) == BODY[offset:]
    assert local.closed == 1


async def test_a_read_that_begins_just_behind_a_move_finds_the_new_place() -> None:
    found = kept()
    moved = replace(found, tier=Tier.LOCAL, key="local/x.mp4")
    gone = Tape(Tier.S3, until=0, opens=False)
    assert await read(World(gone, Tape(Tier.LOCAL, until=len(BODY)), moved), found) == BODY


@pytest.mark.parametrize("deleted", [True, False])
async def test_what_was_not_moved_is_not_there(deleted: bool) -> None:
    found = kept()
    world = World(
        Tape(Tier.S3, until=3000), Tape(Tier.LOCAL, until=len(BODY)), None if deleted else found
    )
    with pytest.raises(TierFailed) as caught:
        await read(world, found)
    assert caught.value.tier == Tier.S3

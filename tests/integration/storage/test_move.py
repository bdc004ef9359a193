"""E8, E15: an object goes from one tier to another: same bytes, same id, always readable, one copy in the end."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from reelgate.common.v1 import media_pb2
from reelgate.storage.v1 import storage_pb2
from services.kernel.errors import (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ReelgateError,
    Unavailable,
)
from services.kernel.status import rpc_errors
from tests.conftest import S3Access
from tests.integration.storage.bucket import Bucket
from tests.integration.storage.conftest import MakeStorage
from tests.integration.storage.harness import (
    MIB,
    Client,
    Source,
    StorageProcess,
    eventually,
    new_run,
    picture,
    video,
)
from tests.integration.storage.test_tiers import OwnS3

S3, LOCAL = storage_pb2.TIER_S3, storage_pb2.TIER_LOCAL


async def watch(
    client: Client, object_id: str, tier: storage_pb2.Tier.ValueType, metadata: Any = None
) -> list[storage_pb2.MoveResponse]:
    request = storage_pb2.MoveRequest(object_id=object_id, tier=tier)
    with rpc_errors():
        call = client.stub.Move(request, metadata=metadata or client.gateway(), wait_for_ready=True)
        return [message async for message in call]


async def move(
    client: Client, object_id: str, tier: storage_pb2.Tier.ValueType, metadata: Any = None
) -> storage_pb2.StoredObject:
    return (await watch(client, object_id, tier, metadata))[-1].object


async def delete(client: Client, *object_ids: str) -> None:
    request = storage_pb2.DeleteObjectsRequest(object_ids=object_ids)
    with rpc_errors():
        await client.stub.DeleteObjects(request, metadata=client.gateway())


class Places:
    """Where bytes really lie."""

    def __init__(self, process: StorageProcess, bucket: Bucket) -> None:
        self.process = process
        self.bucket = bucket

    def local(self) -> list[str]:
        root = self.process.local_dir
        found = [path for path in root.rglob("*") if path.is_file()]
        return [str(path.relative_to(root)) for path in found if path.name != ".reelgate-volume"]

    def of(self, object_id: str) -> list[str]:
        """The tiers in which there is anything of an object."""
        s3 = [*self.bucket.stored(), *self.bucket.uploads()]
        return ["s3" for key in s3 if object_id in key] + [
            "local" for path in self.local() if object_id in path
        ]

    def transfers(self) -> int:
        [(count,)] = self.process.rows("SELECT count(*) FROM uploads")
        return int(count)


@pytest.fixture
def places(storage: StorageProcess, bucket: Bucket) -> Places:
    return Places(storage, bucket)


async def one_copy(places: Places, object_id: str, tier: str) -> None:
    # A process that was killed while it removed the other copy keeps its claim of that for a minute.
    await eventually(lambda: places.of(object_id) == [tier], 80)


@pytest.mark.parametrize("size", [1000, 12 * MIB])
async def test_e8_an_object_moves_there_and_back_and_stays_what_it_is(
    client: Client, source: Source, places: Places, size: int
) -> None:
    body = video(size)
    run = new_run()
    kept = await client.ingest(source.serve(body), run=run)
    for tier, name in ((LOCAL, "local"), (S3, "s3"), (LOCAL, "local")):
        messages = await watch(client, kept.id, tier)
        moved = messages[-1].object
        assert (messages[-1].done_bytes, messages[-1].total_bytes) == (size, size)
        kept.tier = tier
        assert moved == kept
        assert (await client.read(kept.id))[1] == body
        assert (await client.read(kept.id, -500, 100))[1] == body[-500:-400]
        await one_copy(places, kept.id, name)
    logged = client.process.rows(
        "SELECT kind, source, tier, size_bytes, failure_reason FROM upload_log "
        f"WHERE object_id = '{kept.id}' ORDER BY id"
    )
    assert logged[1:] == [
        ("move", "s3", "local", size, ""),
        ("move", "local", "s3", size, ""),
        ("move", "s3", "local", size, ""),
    ]
    usage = storage_pb2.GetUsageRequest(owner_id=str(client.owner))
    assert (await client.stub.GetUsage(usage, metadata=client.user())).size_bytes == size
    # The same step repeated finds the object where it is now, and a tombstone too.
    again = await client.ingest("http://127.0.0.1:9/", run=run)
    assert again == kept
    assert await client.tombstone(run) == 1
    assert places.of(kept.id) == []


async def test_e8_a_reference_image_moves_too(client: Client, places: Places) -> None:
    kept = await client.upload(
        picture(5000), media=media_pb2.MEDIA_TYPE_IMAGE, metadata=client.user()
    )
    for tier, name in ((LOCAL, "local"), (S3, "s3")):
        assert (await move(client, kept.id, tier)).tier == tier
        await one_copy(places, kept.id, name)
        assert (await client.read(kept.id, metadata=client.user()))[1] == picture(5000)
    [key] = [one for one in places.bucket.stored() if kept.id in one]
    assert key == f"{places.process.prefix}input/{client.owner}/{kept.id}.png"


async def test_e7_links_follow_the_object(client: Client, source: Source) -> None:
    kept = await client.ingest(source.serve(video(1000)))
    request = storage_pb2.ResolveUrlsRequest(object_ids=[kept.id])
    urls = []
    for tier in (LOCAL, S3):
        await move(client, kept.id, tier)
        answer = await client.stub.ResolveUrls(request, metadata=client.user())
        urls.append(answer.urls[0].url)
    assert urls[0] == ""
    assert kept.id in urls[1]


async def test_a_move_to_where_it_lies_is_done_at_once(
    client: Client, source: Source, places: Places
) -> None:
    kept = await client.ingest(source.serve(video(1000)))
    assert [message.object for message in await watch(client, kept.id, S3)] == [kept]
    assert places.of(kept.id) == ["s3"]


async def test_only_administrators_and_the_gateway_for_the_owner_move(
    client: Client, source: Source
) -> None:
    kept = await client.ingest(source.serve(video(1000)))
    for user in (client.user(), client.user(uuid4())):
        with pytest.raises(PermissionDenied):
            await move(client, kept.id, LOCAL, user)
    with pytest.raises(NotFound):
        await move(client, kept.id, LOCAL, client.of(uuid4()).gateway())
    assert (await move(client, kept.id, LOCAL, client.user(uuid4(), "admin"))).tier == LOCAL
    assert (await move(client, kept.id, S3)).tier == S3
    with pytest.raises(InvalidArgument) as caught:
        await move(client, kept.id, storage_pb2.TIER_UNSPECIFIED)
    assert caught.value.field == "tier"
    for unknown, error in (("x", InvalidArgument), (str(uuid4()), NotFound)):
        with pytest.raises(error):
            await move(client, unknown, S3)


@pytest.mark.parametrize("damage", ["other bytes", "shorter", "gone"])
@pytest.mark.parametrize("origin", ["s3", "local"])
async def test_bytes_that_are_not_those_of_the_row_are_not_moved(
    client: Client, source: Source, places: Places, damage: str, origin: str
) -> None:
    body = video(11 * MIB)
    kept = await client.ingest(source.serve(body))
    if origin == "local":
        await move(client, kept.id, LOCAL)
        await one_copy(places, kept.id, "local")
    bad = {"other bytes": video(len(body), seed=1), "shorter": body[:-1], "gone": b""}[damage]
    [key] = [one for one in [*places.bucket.stored(), *places.local()] if kept.id in one]
    path = places.process.local_dir / key
    if origin == "local":
        path.write_bytes(bad) if bad else path.unlink()
    elif bad:
        places.bucket.put(key, bad)
    else:
        places.bucket.remove(key)
    with pytest.raises(Unavailable) as caught:
        await move(client, kept.id, LOCAL if origin == "s3" else S3)
    assert caught.value.reason == "TIER_FAILED"
    await eventually(lambda: places.of(kept.id) == ([origin] if bad else []), 20)
    request = storage_pb2.GetObjectRequest(object_id=kept.id)
    answer = await client.stub.GetObject(request, metadata=client.user())
    assert answer.object.tier == (S3 if origin == "s3" else LOCAL)
    # The tiers are well all the same.
    other = await client.ingest(source.serve(video(100)))
    assert other.tier == S3


async def test_without_the_other_tier_the_object_stays(
    make_storage: MakeStorage, tmp_path: Path, source: Source
) -> None:
    own = OwnS3(tmp_path / "own")
    process = make_storage(own.access)
    async with process.client() as client:
        kept = await client.ingest(source.serve(video(1000)))
        assert kept.tier == LOCAL
        with pytest.raises(Unavailable) as caught:
            await move(client, kept.id, S3)
        assert caught.value.reason == "TIER_FAILED"
        assert (await client.read(kept.id))[1] == video(1000)
        with own.up():
            await eventually(lambda: 'tier_healthy{tier="s3"} 1.0' in process.metrics(), 20)
            assert (await move(client, kept.id, S3)).tier == S3
        # Now the one where it lies is away.
        with pytest.raises(Unavailable) as caught:
            await move(client, kept.id, LOCAL)
        assert caught.value.reason == "TIER_FAILED"
        await eventually(lambda: not any(process.local_dir.rglob("*.mp4")))


async def test_a_download_under_way_ends_well_when_its_object_moves(
    client: Client, source: Source, places: Places
) -> None:
    body = video(30 * MIB)
    kept = await client.ingest(source.serve(body))
    for tier, name in ((LOCAL, "local"), (S3, "s3")):
        request = storage_pb2.DownloadRequest(object_id=kept.id)
        call = client.stub.Download(request, metadata=client.gateway())
        found = bytearray()
        async for message in call:
            if len(found) == 4 * 256 * 1024:
                await move(client, kept.id, tier)
                await one_copy(places, kept.id, name)
            found += message.chunk
        assert bytes(found) == body


async def test_e9_a_delete_racing_a_move_leaves_nothing(
    client: Client, source: Source, places: Places
) -> None:
    chance = random.Random(7)
    bodies = [source.serve(video(2000)), source.serve(video(11 * MIB))]
    seconds = [0.0, 0.0]
    for large, url in enumerate(bodies):
        kept = await client.ingest(url)
        begin = time.monotonic()
        await move(client, kept.id, LOCAL)
        seconds[large] = time.monotonic() - begin

    async def race(number: int) -> str:
        run, large = new_run(), number % 4 == 0
        kept = await client.ingest(bodies[large], run=run)
        work = asyncio.create_task(move(client, kept.id, LOCAL))
        # Four at once take longer than one alone.
        await asyncio.sleep(chance.uniform(0, seconds[large] * 4))
        if number % 2:
            await client.tombstone(run)
        else:
            await delete(client, kept.id)
        with pytest.raises(NotFound):
            await client.read(kept.id)
        try:
            await work
        except NotFound:
            outcome = "not found"
        else:
            outcome = "moved, then deleted"
        await eventually(lambda: places.of(kept.id) == [], 20)
        return outcome

    numbers = iter(range(48))
    outcomes: list[str] = []

    async def racer() -> None:
        for number in numbers:
            outcomes.append(await race(number))  # noqa: PERF401 - they share the numbers

    await asyncio.gather(*(racer() for _ in range(4)))
    assert len(outcomes) == 48
    assert places.transfers() == 0


async def test_moves_of_one_object_at_once_leave_one_copy(
    client: Client, source: Source, places: Places
) -> None:
    body = video(6 * MIB)
    kept = await client.ingest(source.serve(body))
    chance = random.Random(3)

    async def mover() -> None:
        for _ in range(5):
            try:
                await move(client, kept.id, chance.choice((S3, LOCAL)))
            except FailedPrecondition as error:
                assert error.reason == "STALE_LEASE"

    await asyncio.gather(*(mover() for _ in range(4)))
    assert (await client.read(kept.id))[1] == body
    moved = await move(client, kept.id, LOCAL)
    assert moved.tier == LOCAL
    await one_copy(places, kept.id, "local")
    assert places.transfers() == 0


async def test_a_second_replica_that_deletes_ends_the_move_of_the_first(
    make_storage: MakeStorage, s3: S3Access, source: Source
) -> None:
    prefix = {"S3_PREFIX": f"{uuid4().hex}/"}
    one, other = make_storage(s3, **prefix), make_storage(s3, **prefix)
    bucket = Bucket(s3, one.prefix)
    places = Places(one, bucket)
    async with one.client() as first, other.client(first.owner) as second:
        kept = await first.ingest(source.serve(video(30 * MIB)))
        work = asyncio.create_task(move(first, kept.id, LOCAL))
        await eventually(lambda: "local" in places.of(kept.id))
        await delete(second, kept.id)
        with pytest.raises(NotFound):
            await work
    await eventually(lambda: places.of(kept.id) == [], 20)
    bucket.close()


@asynccontextmanager
async def locked_object(process: StorageProcess, object_id: str) -> AsyncIterator[None]:
    """Holds the row of an object: no move can commit, and who tries is cut off at the end."""
    async with await psycopg.AsyncConnection.connect(process.database) as connection:
        await connection.execute("SELECT 1 FROM objects WHERE id = %s FOR UPDATE", (object_id,))
        yield
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )


QUICK = {"REELGATE_STORAGE_TRANSFER_LEASE_SECONDS": "1", "REELGATE_STORAGE_THUMBNAILS": "false"}


@pytest.mark.parametrize(("origin", "to"), [(S3, LOCAL), (LOCAL, S3)])
async def test_a_crash_between_copy_and_commit_leaves_it_where_it_was(
    make_storage: MakeStorage,
    s3: S3Access,
    source: Source,
    origin: storage_pb2.Tier.ValueType,
    to: storage_pb2.Tier.ValueType,
) -> None:
    process = make_storage(s3, **QUICK)
    bucket = Bucket(s3, process.prefix)
    places = Places(process, bucket)
    names = {S3: "s3", LOCAL: "local"}
    body = video(12 * MIB)
    async with process.client() as client:
        kept = await client.ingest(source.serve(body))
        await move(client, kept.id, origin)
        await one_copy(places, kept.id, names[origin])
        begun = asyncio.create_task(move(client, kept.id, to))
        await eventually(lambda: places.transfers() == 1)
        async with locked_object(process, kept.id):
            # Whole, and under its final name.
            await eventually(
                lambda: (
                    any(kept.id in key for key in bucket.stored())
                    and any(path.endswith(f"{kept.id}.mp4") for path in places.local())
                )
            )
            process.kill()
        with pytest.raises(ReelgateError):
            await begun
    process.start()
    async with process.client(client.owner) as client:
        assert (await client.read(kept.id))[1] == body
        await one_copy(places, kept.id, names[origin])
        assert (await move(client, kept.id, to)).tier == to
        assert (await client.read(kept.id))[1] == body
        await one_copy(places, kept.id, names[to])
    bucket.close()


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_killed_at_any_moment_it_lies_in_one_place_and_nothing_is_left(
    make_storage: MakeStorage, s3: S3Access, source: Source
) -> None:
    process = make_storage(s3, **QUICK)
    bucket = Bucket(s3, process.prefix)
    places = Places(process, bucket)
    chance = random.Random(11)
    body = video(12 * MIB)
    async with process.client() as client:
        kept = await client.ingest(source.serve(body))
    outcomes = set()
    for number in range(12):
        to = LOCAL if number % 2 else S3
        async with process.client(client.owner) as client:
            work = asyncio.create_task(move(client, kept.id, to))
            await asyncio.sleep(chance.uniform(0, 0.35))
            process.kill()
            try:
                await work
                outcomes.add("moved")
            except ReelgateError:
                outcomes.add("cut off")
        process.start()
        async with process.client(client.owner) as client:
            header, found = await client.read(kept.id)
            assert found == body
            name = {S3: "s3", LOCAL: "local"}[header.object.tier]
            await one_copy(places, kept.id, name)
            assert places.transfers() == 0
    assert "cut off" in outcomes
    bucket.close()

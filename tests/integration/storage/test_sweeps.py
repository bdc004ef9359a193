"""E10: sweeps find bytes without a row and rows without bytes, in each tier, and harm nothing that lives."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql

from deploy.local.postgres import Postgres
from reelgate.storage.v1 import storage_pb2
from services.kernel.errors import Aborted, FailedPrecondition, NotFound, PermissionDenied
from services.kernel.status import rpc_errors
from services.storage.objects import MediaKind, Run, work_slot
from tests.conftest import S3Access
from tests.integration.storage.conftest import MakeStorage
from tests.integration.storage.ground import (
    IMPATIENT,
    KEPT_SECONDS,
    Ground,
    delete,
    ground_of,
    grow_old,
    settled,
    sweep,
    work_key,
)
from tests.integration.storage.harness import (
    MIB,
    Client,
    Keys,
    Source,
    StorageProcess,
    eventually,
    new_run,
    picture,
    video,
)


@dataclass
class Place:
    """A process with one tier, a client of it, and the tier itself."""

    process: StorageProcess
    client: Client
    ground: Ground

    def key_of(self, object_id: str) -> str:
        [key] = [key for key in self.ground.keys() if object_id in key]
        return key

    def count(self, table: str) -> int:
        return int(self.process.rows(f"SELECT count(*) FROM {table}")[0][0])


@pytest.fixture(scope="module", params=["s3", "local"])
def tier(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def swept(
    tier: str,
    postgres: Postgres,
    s3: S3Access,
    keys: Keys,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[StorageProcess]:
    """A process with one tier, whose garbage is garbage at once."""
    name = f"swept_{tier}"
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    access = s3 if tier == "s3" else None
    directory = tmp_path_factory.mktemp(name)
    process = StorageProcess(directory, postgres.url(name), keys, access, **IMPATIENT).start()
    yield process
    assert process.stop() == 0
    assert "Traceback" not in process.log.read_text()


@pytest.fixture
def make_place(make_storage: MakeStorage, s3: S3Access, tier: str) -> Iterator[MakeStorage]:
    def make(_: None = None, **extra: str) -> StorageProcess:
        return make_storage(s3 if tier == "s3" else None, **{**IMPATIENT, **extra})

    return make  # type: ignore[return-value]


@pytest.fixture
async def place(swept: StorageProcess, s3: S3Access, tier: str) -> AsyncIterator[Place]:
    """The process, with nothing in it."""
    if tier == "s3":
        await settled(swept)
    with ground_of(swept, s3 if tier == "s3" else None) as ground:
        swept.rows(
            "WITH gone AS (DELETE FROM objects), gone_too AS (DELETE FROM removals), "
            "unmarked AS (DELETE FROM orphans), forgotten AS (DELETE FROM upload_log) SELECT 1"
        )
        for key in ground.keys():
            ground.remove(key)
        async with swept.client() as client:
            yield Place(swept, client, ground)


async def test_e10_a_sweep_of_a_healthy_tier_changes_nothing(place: Place, source: Source) -> None:
    url = source.serve(video(2000))
    kept = [await place.client.ingest(url) for _ in range(5)]
    before = place.ground.keys()
    found = await sweep(place.client)
    assert (found.marked_count, found.deleted_count, found.adopted_count) == (0, 0, 0)
    assert (found.missing_count, found.aborted_count) == (0, 0)
    assert found.scanned_count >= len(kept)
    assert found.total_count >= found.scanned_count
    assert place.ground.keys() == before
    assert place.count("orphans") == 0


async def test_e10_what_was_removed_and_lies_there_again_is_marked_then_deleted(
    place: Place, source: Source
) -> None:
    """A write that was broken off can take effect after its removal: nothing but the trace of it tells."""
    kept = await place.client.ingest(source.serve(video(2000)))
    key = place.key_of(kept.id)
    await delete(place.client, kept.id)
    assert place.ground.keys() == set()
    place.ground.put(key, video(2000))
    first = await sweep(place.client)
    assert (first.marked_count, first.deleted_count, first.adopted_count) == (1, 0, 0)
    assert place.ground.keys() == {key}
    # Not marked long enough, however slow the machine is.
    place.process.rows("UPDATE orphans SET marked_at = now() + interval '1 hour' RETURNING 1")
    second = await sweep(place.client)
    assert (second.marked_count, second.deleted_count) == (0, 0)
    place.process.rows("UPDATE orphans SET marked_at = now() - interval '1 hour' RETURNING 1")
    third = await sweep(place.client)
    assert (third.marked_count, third.deleted_count) == (0, 1)
    assert place.ground.keys() == set()
    assert place.count("orphans") == 0


async def test_e10_a_work_that_no_row_knows_is_adopted_and_then_its_generations(
    place: Place, source: Source
) -> None:
    """As after a restore: the row comes from key and bytes, and the generation finds it when it asks again."""
    run = new_run()
    kept = await place.client.ingest(source.serve(video(7 * MIB)), run=run)
    place.process.rows("DELETE FROM objects RETURNING 1")
    assert (await usage(place.client)).size_bytes == 0
    found = await sweep(place.client)
    assert (found.adopted_count, found.marked_count, found.deleted_count) == (1, 0, 0)
    header, body = await place.client.read(kept.id)
    assert body == video(7 * MIB)
    assert header.object.sha256 == kept.sha256
    assert header.object.content_type == "video/mp4"
    assert header.object.owner_id == str(place.client.owner)
    assert header.object.generation_id == ""
    assert (await usage(place.client)).size_bytes == 7 * MIB
    # Not fetched again: the source has nothing of it.
    again = await place.client.ingest(f"{source.url}/nothing.mp4", run=run)
    assert (again.id, again.generation_id) == (kept.id, run.generation_id)
    assert await place.client.tombstone(run) == 1
    assert place.ground.keys() == set()


async def test_e10_an_adopted_work_goes_with_its_generation_that_never_asked_for_it(
    place: Place, source: Source
) -> None:
    run = new_run()
    await place.client.ingest(source.serve(video(2000)), run=run, index=3)
    place.process.rows("DELETE FROM objects RETURNING 1")
    assert (await sweep(place.client)).adopted_count == 1
    assert await place.client.tombstone(run) == 1
    assert place.ground.keys() == set()


async def test_an_adopted_work_is_not_given_to_somebody_else(place: Place, source: Source) -> None:
    run = new_run()
    stranger = place.client.of(uuid4())
    made = datetime(2025, 6, 15, tzinfo=UTC)
    mine = Run(UUID(run.generation_id), 0, 1)
    slot = work_slot(place.client.owner, mine, 0, MediaKind.VIDEO, made)
    place.ground.put(place.ground.prefix + slot.key("mp4"), video(2000))
    assert (await sweep(place.client)).adopted_count == 1
    with pytest.raises(NotFound):
        await stranger.ingest(source.serve(video(2000)), run=run)


async def test_e10_a_reference_image_is_adopted_and_counts_for_nobody(place: Place) -> None:
    key = f"{place.ground.prefix}input/{place.client.owner}/{uuid4()}.png"
    place.ground.put(key, picture(300))
    assert (await sweep(place.client)).adopted_count == 1
    assert (await usage(place.client)).object_count == 0
    assert place.ground.keys() == {key}


async def test_e10_foreign_keys_are_never_touched(place: Place) -> None:
    prefix = place.ground.prefix
    names = [
        "readme.txt",
        "backup/database.sql",
        f"{uuid4()}/2025/06/15/{uuid4()}.exe",
        f"{uuid4()}/2025/6/15/{uuid4()}.mp4",
        f"{uuid4()}/2025/06/15/{uuid4()}/deeper.mp4",
        f"{str(uuid4()).upper()}/2025/06/15/{uuid4()}.mp4",
        "input/somebody/cat.png",
        "ключ/日本.mp4",
        work_key("").replace(".mp4", ".thumb.png"),
    ]
    for name in names:
        place.ground.put(prefix + name, b"not ours")
    # It has the shape of a work, and is none.
    place.ground.put(work_key(prefix), b"no media at all")
    before = place.ground.keys()
    for _ in range(2):
        found = await sweep(place.client)
        assert (found.marked_count, found.deleted_count, found.adopted_count) == (0, 0, 0)
        assert found.scanned_count >= len(names) + 1
        await asyncio.sleep(KEPT_SECONDS)
    assert place.ground.keys() == before
    assert f"reelgate_storage_sweep_foreign {len(names)}.0" in place.process.metrics()


async def test_e13_a_thumbnail_goes_with_its_object_and_stays_with_it(
    place: Place, source: Source
) -> None:
    kept = await place.client.ingest(source.serve(video(2000)))
    beside = place.key_of(kept.id).replace(".mp4", ".thumb.webp")
    alone = work_key(place.ground.prefix, extension="thumb.webp")
    adopted = work_key(place.ground.prefix, extension="webm")
    with_it = adopted.replace(".webm", ".thumb.webp")
    place.ground.put(adopted, b"\x1a\x45\xdf\xa3 webm " + bytes(100))
    for key in (beside, alone, with_it):
        place.ground.put(key, b"RIFF....WEBP")
    first = await sweep(place.client)
    assert first.adopted_count == 1
    await asyncio.sleep(KEPT_SECONDS)
    assert (await sweep(place.client)).deleted_count == 1
    assert {beside, with_it, adopted} <= place.ground.keys()
    assert alone not in place.ground.keys()


async def test_e10_rows_without_bytes_are_flagged_kept_and_healed(
    place: Place, source: Source
) -> None:
    url = source.serve(video(2000))
    kept = [await place.client.ingest(url) for _ in range(4)]
    keys = [place.key_of(one.id) for one in kept]
    for key in (keys[0], keys[3]):
        place.ground.remove(key)
    for _ in range(2):
        found = await sweep(place.client)
        assert (found.missing_count, found.deleted_count) == (2, 0)
    assert place.count("objects WHERE missing_since IS NOT NULL") == 2
    assert place.count("objects") == 4
    assert "reelgate_storage_sweep_missing 2.0" in place.process.metrics()
    place.ground.put(keys[0], video(2000))
    assert (await sweep(place.client)).missing_count == 1
    assert place.count("objects WHERE missing_since IS NOT NULL") == 1


async def test_e10_pieces_that_no_transfer_knows_are_removed(place: Place, source: Source) -> None:
    slow = source.serve(video(30 * MIB), pause_at=13 * MIB)
    work = asyncio.create_task(place.client.ingest(slow))
    await eventually(lambda: len(place.ground.pieces()) == 1)
    for _ in range(3):
        place.ground.leave_pieces(work_key(place.ground.prefix))
    found = await sweep(place.client)
    assert found.aborted_count == 3
    assert len(place.ground.pieces()) == 1
    source.script(slow).go_on.set()
    assert (await work).size_bytes == 30 * MIB
    assert place.ground.pieces() == []


async def test_e10_a_dry_run_says_the_same_and_changes_nothing(
    place: Place, source: Source
) -> None:
    kept = [await place.client.ingest(source.serve(video(2000))) for _ in range(3)]
    removed, gone = place.key_of(kept[0].id), place.key_of(kept[1].id)
    await delete(place.client, kept[0].id)
    place.ground.put(removed, video(2000))
    place.ground.remove(gone)
    place.ground.put(work_key(place.ground.prefix), video(3000))
    place.ground.leave_pieces(work_key(place.ground.prefix))
    before = place.ground.keys(), place.ground.pieces(), dump(place.process)
    dry = await sweep(place.client, dry_run=True)
    assert (place.ground.keys(), place.ground.pieces(), dump(place.process)) == before
    assert (dry.marked_count, dry.adopted_count) == (1, 1)
    assert (dry.missing_count, dry.aborted_count) == (1, 1)
    real = await sweep(place.client)
    assert real == dry
    await asyncio.sleep(KEPT_SECONDS)
    assert (await sweep(place.client, dry_run=True)).deleted_count == 1
    assert removed in place.ground.keys()
    assert (await sweep(place.client)).deleted_count == 1
    assert removed not in place.ground.keys()


async def test_e10_young_garbage_is_left_alone(
    make_place: MakeStorage, s3: S3Access, tier: str, source: Source
) -> None:
    process = make_place(None, REELGATE_STORAGE_ORPHAN_AGE_HOURS="24")
    with ground_of(process, s3 if tier == "s3" else None) as ground:
        async with process.client() as client:
            place = Place(process, client, ground)
            kept = await client.ingest(source.serve(video(2000)))
            key = place.key_of(kept.id)
            await delete(client, kept.id)
            ground.put(key, video(2000))
            ground.leave_pieces(work_key(ground.prefix))
            found = await sweep(client)
            assert (found.marked_count, found.aborted_count) == (0, 0)
            assert place.count("orphans") == 0
            if tier == "local":
                grow_old(process.local_dir / key, 25 * 3600)
                assert (await sweep(client)).marked_count == 1


@pytest.mark.parametrize(("percent", "most"), [("1", "100"), ("100", "2")])
async def test_e10_a_sweep_that_would_delete_too_much_deletes_nothing(
    make_place: MakeStorage,
    s3: S3Access,
    tier: str,
    source: Source,
    percent: str,
    most: str,
) -> None:
    process = make_place(
        None,
        REELGATE_STORAGE_SWEEP_MOST_PERCENT=percent,
        REELGATE_STORAGE_SWEEP_MOST_KEYS=most,
    )
    with ground_of(process, s3 if tier == "s3" else None) as ground:
        async with process.client() as client:
            place = Place(process, client, ground)
            url = source.serve(video(500))
            kept = [await client.ingest(url) for _ in range(6)]
            orphans = {place.key_of(one.id) for one in kept[:3]}
            await delete(client, *(one.id for one in kept[:3]))
            for key in orphans:
                ground.put(key, video(500))
            assert (await sweep(client)).marked_count == 3
            assert "reelgate_storage_sweep_stopped 0.0" in process.metrics()
            await asyncio.sleep(KEPT_SECONDS)
            for dry_run in (True, False):
                with pytest.raises(FailedPrecondition) as caught:
                    await sweep(client, dry_run=dry_run)
                assert caught.value.reason == "SWEEP_STOPPED"
                assert caught.value.metadata["due_count"] == "3"
            assert orphans <= ground.keys()
            assert "reelgate_storage_sweep_stopped 1.0" in process.metrics()
            assert "reelgate_storage_sweep_orphans 3.0" in process.metrics()


async def test_e10_a_marked_key_that_comes_to_life_is_no_orphan_any_more(
    place: Place, source: Source
) -> None:
    run = new_run()
    url = source.serve(video(2000))
    kept = await place.client.ingest(url, run=run)
    key = place.key_of(kept.id)
    await delete(place.client, kept.id)
    place.ground.put(key, video(2000))
    assert (await sweep(place.client)).marked_count == 1
    again = await place.client.ingest(url, run=run)
    assert again.id == kept.id
    await asyncio.sleep(KEPT_SECONDS)
    assert (await sweep(place.client)).deleted_count == 0
    assert (await place.client.read(kept.id))[1] == video(2000)
    assert place.count("orphans") == 0


async def test_a_sweep_is_refused_while_another_runs_and_to_users(
    place: Place, source: Source
) -> None:
    for _ in range(3):
        place.ground.put(work_key(place.ground.prefix), video(40 * MIB))
    first = asyncio.create_task(sweep(place.client))
    await eventually(lambda: place.count("pg_locks WHERE locktype = 'advisory' AND granted") > 0)
    with pytest.raises(Aborted):
        await sweep(place.client)
    assert (await first).adopted_count == 3
    with pytest.raises(PermissionDenied), rpc_errors():
        async for _ in place.client.stub.Sweep(
            storage_pb2.SweepRequest(), metadata=place.client.user()
        ):
            pass


async def test_a_sweep_that_is_killed_is_simply_run_again(place: Place, source: Source) -> None:
    for _ in range(6):
        place.ground.put(work_key(place.ground.prefix), video(30 * MIB))
    cut = asyncio.create_task(sweep(place.client))
    await eventually(lambda: place.count("objects") >= 1)
    place.process.kill()
    with pytest.raises(Exception):  # noqa: B017, PT011 - however the connection ends
        await cut
    adopted = place.count("objects")
    assert 1 <= adopted < 6
    place.process.start()
    async with place.process.client() as client:
        assert (await sweep(client)).adopted_count == 6 - adopted
    assert place.count("objects") == 6


async def test_e10_nothing_alive_is_marked_while_it_is_written_and_deleted(
    place: Place, source: Source
) -> None:
    """Sweeps one after the other, while transfers begin, end, fail and are deleted all the time."""
    bodies = [source.serve(video(size)) for size in (500, 6 * MIB)]
    bad = source.serve(video(5000), cut=2000)
    over = asyncio.Event()
    kept: list[str] = []

    async def work(number: int) -> None:
        turn = 0
        while not over.is_set():
            turn += 1
            one = await place.client.ingest(bodies[(turn + number) % 10 == 0])
            with pytest.raises(Aborted):
                await place.client.ingest(bad)
            if turn % 3:
                await delete(place.client, one.id)
            else:
                kept.append(one.id)

    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(work(number))
        sweeps = 0
        try:
            while sweeps < 60 or len(kept) < 20:
                found = await sweep(place.client)
                assert found.adopted_count == 0
                assert found.missing_count == 0
                assert found.deleted_count == 0
                sweeps += 1
        finally:
            over.set()
    assert {row[0] for row in place.process.rows("SELECT key FROM objects")} == place.ground.keys()
    assert place.count("objects WHERE missing_since IS NOT NULL") == 0
    assert len(kept) == place.count("objects")


def dump(process: StorageProcess) -> list[object]:
    """All that a sweep could change."""
    return [
        process.rows(f"SELECT * FROM {table} ORDER BY 1, 2")
        for table in ("orphans", "uploads", "upload_log")
    ] + [
        process.rows("SELECT id, tier, key, missing_since, adopted_at FROM objects ORDER BY id"),
        process.rows("SELECT tier, key, gone_at, seen_gone_at FROM removals ORDER BY id"),
    ]


async def usage(client: Client) -> storage_pb2.GetUsageResponse:
    request = storage_pb2.GetUsageRequest(owner_id=str(client.owner))
    return await client.stub.GetUsage(request, metadata=client.user())

"""E8: all replicas see the same volume or none; a disk that is full says so, and what did not fit is gone."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest

from reelgate.storage.v1 import storage_pb2
from services.kernel.errors import Unavailable
from services.kernel.migrations import migrate
from services.kernel.status import rpc_errors
from services.storage.__main__ import MIGRATIONS
from tests.conftest import S3Access
from tests.integration.storage.bucket import Bucket
from tests.integration.storage.conftest import MakeStorage
from tests.integration.storage.harness import (
    MIB,
    Client,
    Keys,
    Source,
    StorageProcess,
    eventually,
    video,
)
from tests.integration.storage.test_move import move

MARK = ".reelgate-volume"


def is_well(process: StorageProcess, tier: str = "local") -> bool:
    return f'tier_healthy{{tier="{tier}"}} 1.0' in process.metrics()


async def becomes_well(process: StorageProcess) -> None:
    await eventually(lambda: is_well(process), 20)


def agreed(process: StorageProcess) -> list[UUID]:
    return [row[0] for row in process.rows("SELECT id FROM volume")]


def mark(process: StorageProcess, root: Path | None = None) -> UUID:
    return UUID(((root or process.local_dir) / MARK).read_text().strip())


@asynccontextmanager
async def nobody_may_agree(database: str) -> AsyncIterator[None]:
    """Volumes can be read and not be written down; who tries is cut off at the end."""
    async with await psycopg.AsyncConnection.connect(database) as connection:
        await connection.execute("LOCK TABLE volume IN SHARE ROW EXCLUSIVE MODE")
        yield
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )


async def test_replicas_that_start_at_once_agree_on_one_volume(
    make_storage: MakeStorage, source: Source
) -> None:
    replicas = await asyncio.gather(*(asyncio.to_thread(make_storage, None) for _ in range(2)))
    for process in replicas:
        await becomes_well(process)
    assert agreed(replicas[0]) == [mark(replicas[0])]
    async with replicas[0].client() as first, replicas[1].client() as second:
        kept = await first.ingest(source.serve(video(1000)))
        assert (await second.of(first.owner).read(kept.id))[1] == video(1000)


async def test_a_replica_that_dies_between_mark_and_agreement_leaves_a_volume_to_the_next(
    make_storage: MakeStorage, database: str, keys: Keys, tmp_path: Path
) -> None:
    await migrate(database, MIGRATIONS)
    dies = StorageProcess(tmp_path, database, keys, None)
    async with nobody_may_agree(database):
        begun = asyncio.create_task(asyncio.to_thread(dies.start))
        await eventually((tmp_path / "local" / MARK).exists, 30)
        dies.kill()
        with pytest.raises(AssertionError):
            await begun
    written = mark(dies)
    assert agreed(dies) == []
    replicas = await asyncio.gather(*(asyncio.to_thread(make_storage, None) for _ in range(2)))
    for process in replicas:
        await becomes_well(process)
    assert agreed(dies) == [written] == [mark(dies)]


async def test_an_agreement_of_an_earlier_release_without_a_mark_is_made_anew(
    make_storage: MakeStorage, database: str, tmp_path: Path
) -> None:
    """It was written before the mark, and whoever wrote it may have died in between."""
    earlier = tmp_path / "earlier"
    earlier.mkdir()
    for name in sorted(path.name for path in MIGRATIONS.glob("000[1-4]_*.sql")):
        shutil.copy(MIGRATIONS / name, earlier)
    await migrate(database, earlier)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("INSERT INTO volume (id) VALUES (%s)", (uuid4(),))
    process = make_storage(None)
    await eventually(lambda: is_well(process))
    assert agreed(process) == [mark(process)]


async def test_a_replica_that_sees_another_volume_does_not_use_it(
    make_storage: MakeStorage, source: Source, tmp_path: Path
) -> None:
    first = make_storage(None)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    second = make_storage(None, REELGATE_STORAGE_LOCAL_DIR=str(elsewhere))
    async with first.client() as one, second.client(one.owner) as other:
        kept = await one.ingest(source.serve(video(1000)))
        assert not is_well(second)
        with pytest.raises(Unavailable) as caught:
            await other.ingest(source.serve(video(1000)))
        assert caught.value.reason == "NO_TIER"
        with pytest.raises(Unavailable) as caught:
            await other.read(kept.id)
        assert caught.value.reason == "TIER_FAILED"
        assert not list(elsewhere.rglob("*.mp4"))
        assert not (elsewhere / MARK).exists()
        assert (await one.read(kept.id))[1] == video(1000)


async def test_with_the_volume_away_rows_are_quarantined_and_not_deleted(
    make_storage: MakeStorage, source: Source
) -> None:
    process = make_storage(None)
    async with process.client() as client:
        kept, gone = [await client.ingest(source.serve(video(1000))) for _ in range(2)]
        away = process.local_dir.with_name("away")
        process.local_dir.rename(away)
        process.local_dir.mkdir()
        with pytest.raises(Unavailable) as caught:
            await client.read(kept.id)
        assert caught.value.reason == "TIER_FAILED"
        request = storage_pb2.DeleteObjectsRequest(object_ids=[gone.id])
        with pytest.raises(Unavailable), rpc_errors():
            await client.stub.DeleteObjects(request, metadata=client.gateway())
        await asyncio.sleep(3)  # several rounds of the cleanup
        pending = "SELECT count(*) FROM removals WHERE seen_gone_at IS NULL"
        # Of a work whose thumbnail was being made, that is to go as well.
        assert process.rows(f"{pending} AND key LIKE '%.mp4'") == [(1,)]
        assert process.rows("SELECT count(*) FROM objects") == [(1,)]
        process.local_dir.rmdir()
        away.rename(process.local_dir)
        await eventually(lambda: process.rows(pending) == [(0,)], 20)
        assert (await client.read(kept.id))[1] == video(1000)
        assert len(list(process.local_dir.rglob("*.mp4"))) == 1


class SmallDisk:
    """A storage process whose local directory is a file system of its own, seen by nobody else."""

    def __init__(self, process: StorageProcess, megabytes: int) -> None:
        self.process = process
        process.local_dir.mkdir(parents=True)
        mount = f'mount -t tmpfs -o size={megabytes}m tmpfs "$0" && exec "$@"'
        process.before = ("unshare", "-m", "sh", "-c", mount, str(process.local_dir))

    @property
    def root(self) -> Path:
        return Path(f"/proc/{self.process.pid}/root{self.process.local_dir}")

    def files(self) -> list[str]:
        found = (path for path in self.root.rglob("*") if path.is_file() and path.name != MARK)
        return [str(path.relative_to(self.root)) for path in found]


def _may_mount() -> bool:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    tried = subprocess.run(
        ["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False
    )
    return tried.returncode == 0


needs_mount = pytest.mark.skipif(not _may_mount(), reason="only root may mount a small disk")


MakeSmall = Callable[..., SmallDisk]


@pytest.fixture
def make_small(database: str, keys: Keys, tmp_path: Path) -> Iterator[MakeSmall]:
    """Starts one with a disk of so many megabytes."""
    started: list[StorageProcess] = []

    def make(s3: S3Access | None, megabytes: int, **extra: str) -> SmallDisk:
        disk = SmallDisk(StorageProcess(tmp_path, database, keys, s3, **extra), megabytes)
        started.append(disk.process)
        disk.process.start()
        return disk

    yield make
    for process in started:
        process.kill()


async def refused(client: Client, url: str) -> None:
    with pytest.raises(Unavailable) as caught:
        await client.ingest(url)
    assert caught.value.reason == "NO_TIER"


@needs_mount
async def test_e8_a_disk_that_fills_up_midway_refuses_and_is_used_again(
    make_small: MakeSmall, source: Source
) -> None:
    disk = make_small(None, 16)
    async with disk.process.client() as client:
        kept = await client.ingest(source.serve(video(6 * MIB)))
        # Nobody knows how long it will be, so it is begun.
        await refused(client, source.serve(video(14 * MIB), framing="chunked"))
        await eventually(lambda: disk.files() == [one for one in disk.files() if kept.id in one])
        assert disk.process.rows("SELECT count(*) FROM uploads") == [(0,)]
        assert 'trouble="full"' in disk.process.metrics()
        assert (await client.read(kept.id))[1] == video(6 * MIB)
        await eventually(lambda: is_well(disk.process))
        other = await client.ingest(source.serve(video(6 * MIB, seed=1)))
        assert (await client.read(other.id))[1] == video(6 * MIB, seed=1)
        assert len(disk.files()) == 2


@needs_mount
async def test_e8_a_body_that_says_it_will_not_fit_is_not_begun(
    make_small: MakeSmall, source: Source
) -> None:
    disk = make_small(None, 16, REELGATE_STORAGE_LOCAL_MIN_FREE_BYTES=str(4 * MIB))
    async with disk.process.client() as client:
        url = source.serve(video(13 * MIB), pause_at=6 * MIB)
        await refused(client, url)
        await eventually(lambda: is_well(disk.process))
        assert (await client.ingest(source.serve(video(11 * MIB)))).size_bytes == 11 * MIB
        source.script(url).go_on.set()


@needs_mount
async def test_e8_a_full_disk_gives_back_what_is_deleted(
    make_small: MakeSmall, source: Source
) -> None:
    disk = make_small(None, 16, REELGATE_STORAGE_LOCAL_MIN_FREE_BYTES=str(4 * MIB))
    async with disk.process.client() as client:
        kept = await client.ingest(source.serve(video(11 * MIB)))
        (disk.root / "something-else").write_bytes(bytes(3 * MIB))
        await eventually(lambda: not is_well(disk.process), 20)
        await refused(client, source.serve(video(100)))
        # In the background too: a row that waits in the list of removals is worked off.
        disk.process.rows(
            "WITH gone AS (DELETE FROM objects RETURNING *) INSERT INTO removals "
            "(tier, key, object_id, run, unfinished) SELECT tier, key, id, 0, false FROM gone RETURNING 1"
        )
        await eventually(lambda: disk.files() == ["something-else"], 20)
        await eventually(lambda: is_well(disk.process), 20)
        assert kept.id


@needs_mount
async def test_e8_a_move_to_a_disk_that_is_too_small_leaves_the_object_where_it_is(
    make_small: MakeSmall, s3: S3Access, source: Source
) -> None:
    disk = make_small(s3, 16)
    bucket = Bucket(s3, disk.process.prefix)
    async with disk.process.client() as client:
        kept = await client.ingest(source.serve(video(20 * MIB)))
        with pytest.raises(Unavailable) as caught:
            await move(client, kept.id, storage_pb2.TIER_LOCAL)
        assert caught.value.reason == "TIER_FAILED"
        assert disk.files() == []
        assert (await client.read(kept.id))[1] == video(20 * MIB)
        # The other tier is well, and what comes goes there.
        assert (await client.ingest(source.serve(video(100)))).tier == storage_pb2.TIER_S3
    assert len(bucket.stored()) == 2
    bucket.close()

"""A storage process that is killed at any moment leaves nothing that is not found again."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import pytest

from reelgate.storage.v1 import storage_pb2
from services.kernel.errors import ReelgateError
from tests.conftest import S3Access
from tests.integration.storage.bucket import Bucket
from tests.integration.storage.conftest import MakeStorage
from tests.integration.storage.harness import (
    MIB,
    Client,
    Source,
    StorageProcess,
    eventually,
    later,
    new_run,
    video,
)

# Longer than a transfer that is not renewed keeps its slot.
_EXPIRED_SECONDS = 30.0


@asynccontextmanager
async def locked_run(process: StorageProcess, generation_id: str) -> AsyncIterator[None]:
    """Holds the row of a run: nobody can commit for it meanwhile, and who tries is cut off at the end."""
    async with await psycopg.AsyncConnection.connect(process.database) as connection:
        statement = "SELECT 1 FROM runs WHERE generation_id = %s FOR UPDATE"
        await connection.execute(statement, (generation_id,))
        yield
        # A dead client's statement would go on as soon as it gets the lock.
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )


async def lost(work: "asyncio.Task[storage_pb2.StoredObject]") -> None:
    with pytest.raises(ReelgateError):
        await work


async def killed_midway(
    process: StorageProcess, client: Client, source: Source, bucket: Bucket, url: str
) -> "asyncio.Task[storage_pb2.StoredObject]":
    work = asyncio.create_task(client.ingest(url, run=new_run()))
    await eventually(lambda: bool(bucket.uploads()))
    process.kill()
    return work


async def test_a_kill_midway_leaves_no_multipart_for_good(
    make_storage: MakeStorage, s3: S3Access, source: Source
) -> None:
    process = make_storage(s3)
    bucket = Bucket(s3, process.prefix)
    url = source.serve(video(30 * MIB), pause_at=13 * MIB)
    async with process.client() as client:
        work = await killed_midway(process, client, source, bucket, url)
        await lost(work)
        assert bucket.uploads() != []
    process.start()
    await eventually(lambda: bucket.uploads() == [], within_seconds=_EXPIRED_SECONDS)
    assert process.rows("SELECT count(*) FROM uploads") == [(0,)]
    bucket.close()


async def test_a_crash_between_complete_and_commit_is_mended_by_the_same_step(
    make_storage: MakeStorage, s3: S3Access, source: Source
) -> None:
    process = make_storage(s3)
    bucket = Bucket(s3, process.prefix)
    body = video(12 * MIB)
    run = new_run()
    async with process.client() as client:
        url = source.serve(body, pause_at=11 * MIB)
        work = asyncio.create_task(client.ingest(url, run=run))
        await eventually(lambda: bool(bucket.uploads()))
        async with locked_run(process, run.generation_id):
            source.script(url).go_on.set()
            await eventually(lambda: bucket.stored() != [])
            process.kill()
        await lost(work)
    assert process.rows("SELECT count(*) FROM objects") == [(0,)]
    [key] = bucket.stored()
    process.start()
    async with process.client(client.owner) as again:
        kept = await again.ingest(source.serve(body), run=later(run, 2))
        assert kept.id in key
        assert (await again.read(kept.id))[1] == body
    assert bucket.stored() == [key]
    assert process.rows("SELECT count(*) FROM uploads") == [(0,)]
    bucket.close()


async def test_a_crash_between_complete_and_commit_that_nobody_repeats_is_cleaned_up(
    make_storage: MakeStorage, s3: S3Access, source: Source
) -> None:
    process = make_storage(s3)
    bucket = Bucket(s3, process.prefix)
    run = new_run()
    async with process.client() as client:
        kept = await client.ingest(source.serve(video(2000)))
        url = source.serve(video(2000), pause_at=1000, bytes_per_write=500)
        work = asyncio.create_task(client.ingest(url, run=run))
        await eventually(lambda: process.rows("SELECT count(*) FROM uploads") == [(1,)])
        async with locked_run(process, run.generation_id):
            source.script(url).go_on.set()
            await eventually(lambda: len(bucket.stored()) == 2)
            process.kill()
        await lost(work)
    process.start()
    await eventually(lambda: len(bucket.stored()) == 1, within_seconds=_EXPIRED_SECONDS)
    assert kept.id in bucket.stored()[0]
    bucket.close()


async def test_sigterm_lets_transfers_end_and_cuts_those_that_do_not(
    make_storage: MakeStorage, s3: S3Access, source: Source
) -> None:
    process = make_storage(s3, REELGATE_STORAGE_DRAIN_SECONDS="3")
    bucket = Bucket(s3, process.prefix)
    stuck = source.serve(video(30 * MIB), pause_at=13 * MIB)
    slow = source.serve(video(20 * MIB), pause_at=11 * MIB)
    async with process.client() as client:
        cut = asyncio.create_task(client.ingest(stuck))
        ends = asyncio.create_task(client.ingest(slow))
        await eventually(lambda: len(bucket.uploads()) == 2)
        process.send(signal.SIGTERM)
        await asyncio.sleep(0.5)
        source.script(slow).go_on.set()
        assert (await ends).size_bytes == 20 * MIB
        await lost(cut)
        assert await asyncio.to_thread(process.wait) == 0
    assert bucket.uploads() == []
    assert len(bucket.stored()) == 1
    assert "Traceback" not in process.log.read_text()
    bucket.close()

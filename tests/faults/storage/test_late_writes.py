"""E10: a write of a storage process that was stopped takes effect after its removal, and is found all the same."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress

import pytest

from services.kernel.errors import ReelgateError
from tests.conftest import S3Access
from tests.faults.storage.bad_s3 import BadS3, Call, Deed, well
from tests.faults.storage.conftest import MakeStorage
from tests.integration.storage.bucket import Bucket
from tests.integration.storage.conftest import source
from tests.integration.storage.ground import IMPATIENT, KEPT_SECONDS, settled, sweep
from tests.integration.storage.harness import (
    MIB,
    Client,
    Source,
    StorageProcess,
    eventually,
    new_run,
    video,
)

__all__ = ["source"]


class OnItsWay:
    """A fault: the next such request is on its way until somebody lets it arrive."""

    def __init__(self, operation: str = "PutObject") -> None:
        self._operation = operation
        self.keys: list[str] = []
        self.arrive = asyncio.Event()
        self.arrived = asyncio.Event()

    def __call__(self, call: Call) -> Deed | None:
        return self._hold if call.operation == self._operation and not self.keys else None

    async def _hold(self, proxy: BadS3, call: Call) -> None:
        body = await call.body()
        self.keys.append(call.key)
        await self.arrive.wait()
        call.reader = asyncio.StreamReader(limit=1 << 20)
        call.reader.feed_data(body)
        try:
            # Whether anybody still listens to the answer or not.
            await proxy.pass_on(call)
        finally:
            self.arrived.set()


@asynccontextmanager
async def interrupted(
    first: StorageProcess, proxy: BadS3, source: Source, client: Client
) -> AsyncIterator[OnItsWay]:
    """While the block runs a small write of `first` is on its way, and `first` is asleep."""
    late = OnItsWay()
    proxy.begin(late)
    work = asyncio.create_task(client.ingest(source.serve(video(2000)), run=new_run()))
    await eventually(lambda: late.keys != [])
    first.send(signal.SIGSTOP)
    try:
        yield late
    finally:
        with suppress(ProcessLookupError):
            first.send(signal.SIGCONT)
        with pytest.raises(ReelgateError):
            await work
        proxy.begin(well)


def pair(make_storage: MakeStorage, proxy: BadS3) -> tuple[StorageProcess, StorageProcess]:
    """Two replicas."""
    how = {**IMPATIENT, "REELGATE_STORAGE_TRANSFER_LEASE_SECONDS": "1"}
    first = make_storage(proxy.access, **how)
    second = make_storage(
        proxy.access,
        **how,
        S3_PREFIX=first.prefix,
        REELGATE_STORAGE_DATABASE_URL=first.database,
        REELGATE_STORAGE_LOCAL_DIR=str(first.local_dir),
    )
    return first, second


async def removed(process: StorageProcess) -> None:
    await eventually(
        lambda: process.rows("SELECT seen_gone_at IS NOT NULL FROM removals") == [(True,)], 30
    )


@pytest.mark.parametrize("looks", ["before the second look", "after it"])
async def test_e10_a_write_that_arrives_after_its_removal_is_found_again(
    make_storage: MakeStorage, s3: S3Access, source: Source, looks: str
) -> None:
    """The removal looks twice, a minute apart; what comes later is known by the trace of it."""
    async with BadS3.before(s3) as proxy:
        first, second = pair(make_storage, proxy)
        await settled(first)
        with closing(Bucket(s3, first.prefix)) as bucket:
            async with first.client() as client, interrupted(first, proxy, source, client) as late:
                await removed(first)
                if looks == "after it":
                    # The minute is over.
                    first.rows("UPDATE removals SET next_try_at = now() RETURNING 1")
                    await eventually(
                        lambda: first.rows("SELECT gone_at IS NOT NULL FROM removals") == [(True,)]
                    )
                late.arrive.set()
                await late.arrived.wait()
                assert late.keys[0] in bucket.stored()
                first.kill()
            async with second.client() as client:
                if looks == "after it":
                    assert (await sweep(client)).marked_count == 1
                    await asyncio.sleep(KEPT_SECONDS)
                    assert (await sweep(client)).deleted_count == 1
                else:
                    found = await sweep(client)
                    assert (found.marked_count, found.adopted_count) == (0, 0)
                    first.rows("UPDATE removals SET next_try_at = now() RETURNING 1")
            await eventually(lambda: late.keys[0] not in bucket.stored())


async def test_a_process_that_wakes_behind_its_removal_cleans_up_itself(
    make_storage: MakeStorage, s3: S3Access, source: Source
) -> None:
    async with BadS3.before(s3) as proxy:
        first, _ = pair(make_storage, proxy)
        await settled(first)
        with closing(Bucket(s3, first.prefix)) as bucket:
            async with first.client() as client, interrupted(first, proxy, source, client) as late:
                await removed(first)
                late.arrive.set()
            await late.arrived.wait()
            await eventually(lambda: late.keys[0] not in bucket.stored())
            assert first.rows("SELECT count(*) FROM objects") == [(0,)]


async def test_e5_a_beginning_is_waited_for_by_whoever_stops_it_and_hangs_up_as_well(
    make_storage: MakeStorage, s3: S3Access, source: Source
) -> None:
    """The transfer is cancelled twice; its upload began behind the answer that nothing is left."""
    async with BadS3.before(s3) as proxy:
        process = make_storage(proxy.access)
        await settled(process)
        late, run = OnItsWay("CreateMultipartUpload"), new_run()
        proxy.begin(late)
        async with process.client() as client:
            url = source.serve(video(12 * MIB))
            work = asyncio.create_task(client.ingest(url, run=run))
            await eventually(lambda: late.keys != [])
            stopped = asyncio.create_task(client.tombstone(run))
            await asyncio.sleep(0.2)
            work.cancel()
            await asyncio.sleep(0.5)
            assert not stopped.done()
            late.arrive.set()
            assert await stopped == 0
        with closing(Bucket(s3, process.prefix)) as bucket:
            assert bucket.uploads() == []

"""E9 and the invariants: what was cancelled or deleted does not come back, and whose lease is old writes nothing."""

import asyncio
import random

import pytest

from reelgate.storage.v1 import storage_pb2
from services.kernel.errors import FailedPrecondition, NotFound, ReelgateError
from services.kernel.status import rpc_errors
from tests.integration.storage.bucket import Bucket
from tests.integration.storage.harness import (
    MIB,
    Client,
    Source,
    eventually,
    later,
    new_run,
    video,
)


async def test_e9_a_tombstone_deletes_what_is_there_and_forbids_what_comes(
    client: Client, source: Source, bucket: Bucket
) -> None:
    run = new_run()
    url = source.serve(video(1000))
    kept = [await client.ingest(url, run=run, index=index) for index in range(3)]
    assert await client.tombstone(run) == 3
    assert not [key for key in bucket.stored() if any(one.id in key for one in kept)]
    with pytest.raises(NotFound):
        await client.read(kept[0].id)
    with pytest.raises(FailedPrecondition) as caught:
        await client.ingest(url, run=later(run, 9))
    assert caught.value.reason == "TOMBSTONED"
    assert await client.tombstone(run) == 0


async def test_e9_a_tombstone_ends_a_transfer_under_way(
    client: Client, source: Source, bucket: Bucket
) -> None:
    run = new_run()
    url = source.serve(video(30 * MIB), pause_at=13 * MIB)
    work = asyncio.create_task(client.ingest(url, run=run))
    await eventually(lambda: bool(bucket.uploads()))
    assert await client.tombstone(run) == 0
    with pytest.raises(FailedPrecondition) as caught:
        await work
    assert caught.value.reason == "TOMBSTONED"
    assert bucket.uploads() == []


async def test_e9_a_tombstone_racing_an_ingest_leaves_no_object(
    client: Client, source: Source, bucket: Bucket
) -> None:
    before = set(bucket.stored())
    chance = random.Random(4)
    bodies = [source.serve(video(2000)), source.serve(video(11 * MIB))]

    async def race(number: int) -> str:
        run = new_run()
        work = asyncio.create_task(client.ingest(bodies[number % 5 == 0], run=run))
        await asyncio.sleep(chance.uniform(0, 0.05 if number % 5 else 0.3))
        await client.tombstone(run)
        try:
            await work
        except FailedPrecondition as error:
            return error.reason
        return "kept, then deleted"

    numbers = iter(range(60))
    outcomes: list[str] = []

    async def one_after_the_other() -> None:
        for number in numbers:
            outcomes.append(await race(number))  # noqa: PERF401 - one after the other

    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(one_after_the_other())
    assert set(outcomes) == {"kept, then deleted", "TOMBSTONED"}
    assert set(bucket.stored()) == before
    assert bucket.uploads() == []


async def test_a_lower_lease_is_refused(client: Client, source: Source) -> None:
    run = new_run(lease_token=5)
    url = source.serve(video(100))
    kept = await client.ingest(url, run=run)
    for attempt in (
        client.ingest(url, run=later(run, 4)),
        client.ingest(url, run=later(run, 4), index=1),
        client.tombstone(later(run, 4)),
    ):
        with pytest.raises(FailedPrecondition) as caught:
            await attempt
        assert caught.value.reason == "STALE_LEASE"
    # The answer without a download raises the token, too.
    assert await client.ingest(url, run=later(run, 7)) == kept
    with pytest.raises(FailedPrecondition):
        await client.ingest(url, run=later(run, 6), index=2)


async def test_a_later_lease_takes_a_running_transfer_over(
    client: Client, source: Source, bucket: Bucket
) -> None:
    run = new_run(lease_token=1)
    slow = source.serve(video(12 * MIB), pause_at=6 * MIB)
    old = asyncio.create_task(client.ingest(slow, run=run))
    await eventually(lambda: bool(bucket.uploads()))
    kept = await client.ingest(source.serve(video(12 * MIB)), run=later(run, 2))
    with pytest.raises(FailedPrecondition) as caught:
        await old
    assert caught.value.reason == "STALE_LEASE"
    assert (await client.read(kept.id))[1] == video(12 * MIB)
    assert bucket.uploads() == []


async def test_many_calls_for_one_object_keep_one(
    client: Client, source: Source, bucket: Bucket
) -> None:
    run = new_run()
    url = source.serve(video(6 * MIB))
    results = await asyncio.gather(
        *(client.ingest(url, run=run) for _ in range(8)), return_exceptions=True
    )
    kept = [one for one in results if isinstance(one, storage_pb2.StoredObject)]
    lost = [one for one in results if isinstance(one, ReelgateError)]
    assert len(kept) + len(lost) == 8
    assert {one.reason for one in lost} <= {"STALE_LEASE"}
    assert len({one.id for one in kept}) == 1
    assert len([key for key in bucket.stored() if kept[0].id in key]) == 1
    assert (await client.read(kept[0].id))[1] == video(6 * MIB)


async def test_e5_a_cancelled_call_leaves_no_multipart(
    client: Client, source: Source, bucket: Bucket
) -> None:
    run = new_run()
    url = source.serve(video(30 * MIB), pause_at=13 * MIB)
    call = client.stub.Ingest(client.request(url, run=run), metadata=client.gateway())
    await eventually(lambda: bool(bucket.uploads()))
    call.cancel()
    await eventually(lambda: not bucket.uploads())
    left = f"SELECT 1 FROM uploads WHERE generation_id = '{run.generation_id}'"
    await eventually(lambda: not client.process.rows(left))
    source.script(url).go_on.set()
    assert (await client.ingest(url, run=run)).size_bytes == 30 * MIB


async def test_deleting_is_idempotent_and_frees(
    client: Client, source: Source, bucket: Bucket
) -> None:
    url = source.serve(video(1000))
    kept = [await client.ingest(url) for _ in range(3)]

    async def usage() -> tuple[int, int]:
        request = storage_pb2.GetUsageRequest(owner_id=str(client.owner))
        answer = await client.stub.GetUsage(request, metadata=client.user())
        return answer.size_bytes, answer.object_count

    assert await usage() == (3000, 3)
    request = storage_pb2.DeleteObjectsRequest(object_ids=[one.id for one in kept[:2]])
    with rpc_errors():
        first = await client.stub.DeleteObjects(request, metadata=client.gateway())
        second = await client.stub.DeleteObjects(request, metadata=client.gateway())
    assert (first.deleted_count, second.deleted_count) == (2, 0)
    assert await usage() == (1000, 1)
    assert not [key for key in bucket.stored() if kept[0].id in key or kept[1].id in key]

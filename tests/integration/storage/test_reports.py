"""E11 and E14: what operators read of storage: how each upload ended, and what S3 was asked to do."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from reelgate.common.v1 import media_pb2
from reelgate.storage.v1 import storage_pb2
from services.kernel.errors import (
    Aborted,
    FailedPrecondition,
    InvalidArgument,
    PermissionDenied,
    ReelgateError,
)
from services.kernel.status import rpc_errors
from tests.conftest import S3Access
from tests.integration.storage.conftest import MakeStorage
from tests.integration.storage.ground import delete, settled
from tests.integration.storage.harness import (
    MIB,
    Client,
    Source,
    eventually,
    later,
    new_run,
    picture,
    video,
)

_NAMES = {storage_pb2.TIER_S3: "s3", storage_pb2.TIER_LOCAL: "local", 0: ""}


@pytest.fixture
async def own(make_storage: MakeStorage, s3: S3Access) -> AsyncIterator[Client]:
    """A client of a process of one's own: the log is shared by all who use a process."""
    process = make_storage(s3, REELGATE_STORAGE_THUMBNAILS="false")
    await settled(process)
    async with process.client() as client:
        yield client


async def uploads(client: Client, size: int = 0, token: str = "") -> Any:
    with rpc_errors():
        request = storage_pb2.ListUploadsRequest(page_size=size, page_token=token)
        return await client.stub.ListUploads(request, metadata=client.user(role="admin"))


async def costs(client: Client, **times: Timestamp) -> Any:
    with rpc_errors():
        request = storage_pb2.GetCostsRequest(**times)
        return await client.stub.GetCosts(request, metadata=client.user(role="admin"))


async def test_e11_every_end_of_a_transfer_is_a_line_of_the_log(
    own: Client, source: Source
) -> None:
    run = new_run(lease_token=5)
    kept = await own.ingest(source.serve(video(6 * MIB)), run=run)
    assert await own.ingest(source.serve(video(6 * MIB)), run=run) == kept  # no transfer: no line
    with pytest.raises(FailedPrecondition):
        await own.ingest(source.serve(video(100)), run=later(run, 4), index=1)
    with pytest.raises(Aborted):
        await own.ingest(source.serve(video(9000), cut=3000))
    with pytest.raises(Aborted):
        await own.ingest(source.serve(b"no media at all"))
    image: dict[str, Any] = {"media": media_pb2.MEDIA_TYPE_IMAGE, "metadata": own.user()}
    await own.upload(picture(300), **image)
    with pytest.raises(ReelgateError):
        await own.upload(picture(300), committed=False, **image)
    request = storage_pb2.MoveRequest(object_id=kept.id, tier=storage_pb2.TIER_LOCAL)
    async for _ in own.stub.Move(request, metadata=own.user(role="admin")):
        pass
    lines = list((await uploads(own)).uploads)
    told = [(_NAMES[one.tier], one.source, one.size_bytes, one.failure_reason) for one in lines]
    assert told[0] == ("local", "s3", 6 * MIB, "")
    assert told[1][1:2] + told[1][3:] == ("upload", "SOURCE_FAILED")
    assert told[2] == ("s3", "upload", 300, "")
    assert told[3][1:2] + told[3][3:] == ("127.0.0.1", "SOURCE_FAILED")
    assert told[4] == ("", "127.0.0.1", 3000, "SOURCE_FAILED")
    assert told[5] == ("", "127.0.0.1", 0, "STALE_LEASE")
    assert told[6] == ("s3", "127.0.0.1", 6 * MIB, "")
    assert len(told) == 7
    assert lines[6].object_id == lines[0].object_id == kept.id
    assert lines[6].duration.ToMilliseconds() > 0
    assert lines[6].create_time.seconds <= lines[0].create_time.seconds


async def test_e11_a_cancelled_and_a_tombstoned_transfer_are_logged(
    own: Client, source: Source
) -> None:
    run = new_run()
    url = source.serve(video(30 * MIB), pause_at=13 * MIB)
    gone = asyncio.create_task(own.ingest(url, run=run))
    await eventually(lambda: own.process.rows("SELECT 1 FROM uploads WHERE key <> ''") != [])
    await own.tombstone(run)
    with pytest.raises(FailedPrecondition):
        await gone
    call = own.stub.Ingest(own.request(url, run=new_run()), metadata=own.gateway())
    await eventually(lambda: own.process.rows("SELECT 1 FROM uploads WHERE key <> ''") != [])
    call.cancel()
    await eventually(lambda: own.process.rows("SELECT count(*) FROM upload_log") == [(2,)])
    lines = (await uploads(own)).uploads
    assert [one.failure_reason for one in lines] == ["CANCELLED", "TOMBSTONED"]
    assert all(5 * MIB <= one.size_bytes <= 14 * MIB for one in lines)


async def test_e11_the_log_is_read_page_by_page_by_administrators_only(
    own: Client, source: Source
) -> None:
    url = source.serve(video(100))
    kept = [(await own.ingest(url)).id for _ in range(7)]
    found, token = [], ""
    while True:
        page = await uploads(own, 3, token)
        found += [one.object_id for one in page.uploads]
        token = page.next_page_token
        if not token:
            break
    assert found == kept[::-1]
    assert len((await uploads(own)).uploads) == 7
    for size, bad in ((101, ""), (-1, ""), (1, "nonsense")):
        with pytest.raises(InvalidArgument):
            await uploads(own, size, bad)
    for who in (own.user(), own.gateway()):
        with pytest.raises(PermissionDenied), rpc_errors():
            await own.stub.ListUploads(storage_pb2.ListUploadsRequest(), metadata=who)
        with pytest.raises(PermissionDenied), rpc_errors():
            await own.stub.GetCosts(storage_pb2.GetCostsRequest(), metadata=who)


async def test_e14_costs_are_counted_where_the_work_is_done(own: Client, source: Source) -> None:
    before = await costs(own)
    small = await own.ingest(source.serve(video(2000)))
    large = await own.ingest(source.serve(video(11 * MIB)))
    await own.read(small.id)
    await own.read(large.id, 0, MIB)
    after = await costs(own)
    assert after.stored_bytes - before.stored_bytes == 2000 + 11 * MIB
    # A put; a create, three parts and a complete. Looks at the health of the bucket come on top.
    assert 6 <= after.write_operations - before.write_operations <= 10
    assert after.read_operations - before.read_operations == 2
    assert after.egress_bytes - before.egress_bytes == 2000 + MIB
    assert after.s3_monthly_usd > after.r2_monthly_usd > 0
    await delete(own, large.id)
    assert (await costs(own)).stored_bytes == before.stored_bytes + 2000
    # Kept over a restart, and added to by it.
    own.process.stop()
    own.process.start()
    await eventually(lambda: "healthy" in own.process.metrics())
    async with own.process.client() as again:
        assert (await costs(again)).write_operations > after.write_operations
    with pytest.raises(InvalidArgument):
        async with own.process.client() as again:
            await costs(again, start_time=Timestamp(seconds=20_000), end_time=Timestamp(seconds=10))


async def test_e11_old_lines_and_old_traces_go_with_a_sweep(own: Client, source: Source) -> None:
    url = source.serve(video(100))
    kept = [(await own.ingest(url)).id for _ in range(4)]
    await delete(own, *kept)
    ids = own.process.rows("SELECT id FROM upload_log ORDER BY id LIMIT 2")
    own.process.rows(
        "WITH old AS (UPDATE upload_log SET created_at = now() - interval '91 days' "
        f"WHERE id IN ('{ids[0][0]}', '{ids[1][0]}')) "
        "UPDATE removals SET gone_at = gone_at - interval '61 days' "
        "WHERE id IN (SELECT id FROM removals ORDER BY id LIMIT 3) RETURNING 1"
    )
    with rpc_errors():
        async for _ in own.stub.Sweep(storage_pb2.SweepRequest(), metadata=own.user(role="admin")):
            pass
    assert own.process.rows("SELECT count(*) FROM upload_log") == [(2,)]
    assert own.process.rows("SELECT count(*) FROM removals") == [(1,)]

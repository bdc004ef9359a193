"""Who may call what, what is refused, and what is not offered yet."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from reelgate.common.v1 import media_pb2, run_pb2
from reelgate.storage.v1 import storage_pb2
from services.kernel.errors import (
    InvalidArgument,
    NotFound,
    OutOfRange,
    PermissionDenied,
    Unauthenticated,
)
from services.kernel.status import rpc_errors
from tests.integration.storage.harness import Client, Source, new_run, video

Run = run_pb2.Run


async def unary(method: Any, request: Any, metadata: Any) -> Any:
    with rpc_errors():
        return await method(request, metadata=metadata)


async def test_somebody_elses_object_is_not_found(client: Client, source: Source) -> None:
    kept = await client.ingest(source.serve(video(100)))
    stranger = client.user(uuid4())
    for work in (
        unary(client.stub.GetObject, storage_pb2.GetObjectRequest(object_id=kept.id), stranger),
        client.read(kept.id, metadata=stranger),
        unary(
            client.stub.GetUsage,
            storage_pb2.GetUsageRequest(owner_id=str(client.owner)),
            stranger,
        ),
    ):
        with pytest.raises(NotFound):
            await work
    request = storage_pb2.ResolveUrlsRequest(object_ids=[kept.id, str(uuid4())])
    assert not (await unary(client.stub.ResolveUrls, request, stranger)).urls
    assert len((await unary(client.stub.ResolveUrls, request, client.user())).urls) == 1
    # An administrator sees it, and so does the gateway in the owner's name.
    get = storage_pb2.GetObjectRequest(object_id=kept.id)
    for metadata in (client.user(uuid4(), role="admin"), client.gateway(), client.user()):
        assert (await unary(client.stub.GetObject, get, metadata)).object == kept


async def test_users_may_not_do_what_the_gateway_does(client: Client, source: Source) -> None:
    url = source.serve(video(100))
    kept = await client.ingest(url)
    with pytest.raises(PermissionDenied), rpc_errors():
        async for _ in client.stub.Ingest(client.request(url), metadata=client.user()):
            pass
    for method, request in (
        (
            client.stub.Tombstone,
            storage_pb2.TombstoneRequest(run=new_run(), owner_id=str(client.owner)),
        ),
        (client.stub.DeleteObjects, storage_pb2.DeleteObjectsRequest(object_ids=[kept.id])),
        (client.stub.ListObjects, storage_pb2.ListObjectsRequest()),
        (client.stub.ListObjects, storage_pb2.ListObjectsRequest(owner_id=str(uuid4()))),
    ):
        with pytest.raises(PermissionDenied):
            await unary(method, request, client.user())


async def test_the_gateway_acts_only_for_the_owner_its_token_names(
    client: Client, source: Source
) -> None:
    run = new_run()
    url = source.serve(video(100))
    kept = await client.ingest(url, run=run)
    other = client.metadata(client.process.keys.token(uuid4(), actor="gateway"))
    with pytest.raises(PermissionDenied), rpc_errors():
        async for _ in client.stub.Ingest(client.request(url), metadata=other):
            pass
    request = storage_pb2.DeleteObjectsRequest(object_ids=[kept.id])
    assert (await unary(client.stub.DeleteObjects, request, other)).deleted_count == 0
    owner = uuid4()
    theirs = client.metadata(client.process.keys.token(owner, actor="gateway"))
    tombstone = storage_pb2.TombstoneRequest(run=run, owner_id=str(owner))
    with pytest.raises(NotFound):
        await unary(client.stub.Tombstone, tombstone, theirs)
    assert (await client.read(kept.id))[1] == video(100)


async def test_nobody_is_let_in_without_a_token(client: Client) -> None:
    request = storage_pb2.GetObjectRequest(object_id=str(uuid4()))
    for metadata in ((), client.metadata("nonsense")):
        with pytest.raises(Unauthenticated):
            await unary(client.stub.GetObject, request, metadata)


async def test_the_status_is_open_to_everybody(client: Client) -> None:
    """The page needs the origins of links for its policy before anyone has logged in."""
    answer = await unary(client.stub.GetStatus, storage_pb2.GetStatusRequest(), ())
    assert answer.s3_enabled


@pytest.mark.parametrize("range_", [(100, 0), (101, 5), (5, -1)])
async def test_a_range_behind_the_end_is_out_of_range(
    client: Client, source: Source, range_: tuple[int, int]
) -> None:
    kept = await client.ingest(source.serve(video(100)))
    with pytest.raises(OutOfRange) as caught:
        await client.read(kept.id, *range_)
    assert caught.value.metadata["size_bytes"] == "100"


async def test_objects_are_listed_page_by_page(client: Client, source: Source) -> None:
    run = new_run()
    url = source.serve(video(100))
    kept = {(await client.ingest(url, run=run, index=index)).id for index in range(5)}
    found: list[str] = []
    token = ""
    while True:
        request = storage_pb2.ListObjectsRequest(
            owner_id=str(client.owner),
            page_size=2,
            page_token=token,
            tier=storage_pb2.TIER_S3,
        )
        page = await unary(client.stub.ListObjects, request, client.user())
        found += [one.id for one in page.objects]
        token = page.next_page_token
        if not token:
            break
    assert found == sorted(kept)
    request.tier = storage_pb2.TIER_LOCAL
    request.page_token = ""
    assert not (await unary(client.stub.ListObjects, request, client.gateway())).objects
    everything = storage_pb2.ListObjectsRequest(page_size=1000)
    admin = client.user(uuid4(), role="admin")
    assert kept <= {
        one.id for one in (await unary(client.stub.ListObjects, everything, admin)).objects
    }


def _without_run(request: storage_pb2.IngestRequest) -> None:
    request.ClearField("run")


def _bad_run(request: storage_pb2.IngestRequest) -> None:
    request.run.CopyFrom(Run(generation_id="x", number=0, lease_token=1))


def _negative_run(request: storage_pb2.IngestRequest) -> None:
    request.run.number = -1


def _negative_index(request: storage_pb2.IngestRequest) -> None:
    request.index = -1


def _no_owner(request: storage_pb2.IngestRequest) -> None:
    request.owner_id = ""


def _no_time(request: storage_pb2.IngestRequest) -> None:
    request.ClearField("generation_create_time")


def _no_url(request: storage_pb2.IngestRequest) -> None:
    request.source.url = ""


def _unknown_media(request: storage_pb2.IngestRequest) -> None:
    request.media_type = 99  # type: ignore[assignment]


def _negative_limit(request: storage_pb2.IngestRequest) -> None:
    request.max_size_bytes = -1


@pytest.mark.parametrize(
    ("spoil", "field"),
    [
        (_without_run, "run.generation_id"),
        (_bad_run, "run.generation_id"),
        (_negative_run, "run.number"),
        (_negative_index, "index"),
        (_no_owner, "owner_id"),
        (_no_time, "generation_create_time"),
        (_no_url, "source.url"),
        (_unknown_media, "media_type"),
        (_negative_limit, "max_size_bytes"),
    ],
)
async def test_a_bad_request_names_its_field(
    client: Client, spoil: Callable[[storage_pb2.IngestRequest], None], field: str
) -> None:
    request = client.request("http://127.0.0.1:1/x.mp4")
    spoil(request)
    with pytest.raises(InvalidArgument) as caught:
        await client.watch(request)
    assert caught.value.field == field


async def test_bad_ids_and_too_many_are_refused(client: Client) -> None:
    for request in (
        storage_pb2.ResolveUrlsRequest(object_ids=["x"]),
        storage_pb2.ResolveUrlsRequest(object_ids=[str(uuid4())] * 401),
    ):
        with pytest.raises(InvalidArgument):
            await unary(client.stub.ResolveUrls, request, client.user())
    unknown = storage_pb2.GetObjectRequest(object_id=str(uuid4()))
    with pytest.raises(NotFound):
        await unary(client.stub.GetObject, unknown, client.user())


async def test_metrics_tell_what_was_done(client: Client, source: Source) -> None:
    kept = await client.ingest(source.serve(video(100)), media=media_pb2.MEDIA_TYPE_UNSPECIFIED)
    await client.read(kept.id)
    metrics = client.process.metrics()
    for line in (
        'reelgate_storage_transfer_seconds_count{kind="ingest",result="KEPT"}',
        'reelgate_storage_stored_bytes_total{tier="s3"}',
        'reelgate_storage_sent_bytes_total{tier="s3"}',
        'reelgate_storage_parts_total{tier="s3"}',
        'reelgate_storage_tier_healthy{tier="s3"} 1.0',
        'reelgate_storage_tier_healthy{tier="local"} 1.0',
        "reelgate_storage_received_bytes_total",
        "reelgate_storage_buffer_bytes",
        "reelgate_storage_removals_pending",
    ):
        assert line in metrics

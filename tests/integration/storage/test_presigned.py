"""E7: a browser sends a reference image to S3 by itself, and only exactly what was announced becomes an object."""

import asyncio
import hashlib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import aiohttp
import pytest

from reelgate.storage.v1 import storage_pb2
from services.kernel.errors import (
    Aborted,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unavailable,
)
from services.kernel.status import rpc_errors
from tests.conftest import S3Access
from tests.integration.storage.bucket import Bucket
from tests.integration.storage.conftest import MakeStorage
from tests.integration.storage.harness import Client, StorageProcess, eventually, picture
from tests.integration.storage.test_tiers import OwnS3

JPEG = b"\xff\xd8\xff\xe0" + bytes(96)
WEBP = b"RIFF\x00\x00\x00\x00WEBPVP8 " + bytes(84)
GIF = b"GIF89a" + bytes(94)


async def presign(
    client: Client, size: int, content_type: str = "image/png", metadata: Any = None
) -> storage_pb2.PresignUploadResponse:
    request = storage_pb2.PresignUploadRequest(
        owner_id=str(client.owner), size_bytes=size, content_type=content_type
    )
    with rpc_errors():
        return await client.stub.PresignUpload(request, metadata=metadata or client.user())


async def commit(client: Client, object_id: str, metadata: Any = None) -> storage_pb2.StoredObject:
    request = storage_pb2.CommitPresignedUploadRequest(object_id=object_id)
    with rpc_errors():
        answer = await client.stub.CommitPresignedUpload(
            request, metadata=metadata or client.user()
        )
        return answer.object


async def send(link: storage_pb2.PresignUploadResponse, body: bytes, **headers: str) -> int:
    async with (
        aiohttp.ClientSession() as web,
        web.request(
            link.method, link.url, data=body, headers={**dict(link.headers), **headers}
        ) as answer,
    ):
        return answer.status


def nothing_is_left(process: StorageProcess, bucket: Bucket, object_id: str) -> bool:
    return not [key for key in bucket.stored() if object_id in key] and process.rows(
        f"SELECT count(*) FROM objects WHERE id = '{object_id}'"
    ) == [(0,)]


@pytest.mark.parametrize(
    ("body", "content_type", "extension"),
    [
        (picture(5000), "image/png", "png"),
        (JPEG, "image/jpeg", "jpg"),
        (WEBP, "image/webp", "webp"),
    ],
)
async def test_e7_what_a_browser_sent_becomes_its_owners_object(
    client: Client, bucket: Bucket, body: bytes, content_type: str, extension: str
) -> None:
    link = await presign(client, len(body), content_type)
    assert link.method == "PUT"
    assert dict(link.headers) == {"Content-Type": content_type, "Content-Length": str(len(body))}
    assert "content-length%3Bcontent-type" in link.url
    assert link.expire_time.ToDatetime() is not None
    assert await send(link, body) == 200
    kept = await commit(client, link.object_id)
    assert kept.id == link.object_id
    assert (kept.owner_id, kept.generation_id) == (str(client.owner), "")
    assert (kept.size_bytes, kept.content_type) == (len(body), content_type)
    assert kept.sha256 == hashlib.sha256(body).digest()
    assert (await client.read(kept.id, metadata=client.user()))[1] == body
    [key] = [key for key in bucket.stored() if kept.id in key]
    assert key.endswith(f"input/{client.owner}/{kept.id}.{extension}")
    assert bucket.head(key)["CacheControl"] == "public, max-age=31536000, immutable"
    # Said again it is the same; and reference images do not count as works.
    assert await commit(client, link.object_id) == kept
    usage = storage_pb2.GetUsageRequest(owner_id=str(client.owner))
    assert (await client.stub.GetUsage(usage, metadata=client.user())).object_count == 0


async def test_e7_the_link_takes_nothing_else(client: Client, bucket: Bucket) -> None:
    link = await presign(client, 100)
    async with aiohttp.ClientSession() as web:
        for body, content_type in (
            (bytes(101), "image/png"),
            (bytes(99), "image/png"),
            (bytes(100), "text/html"),
        ):
            headers = {"Content-Type": content_type}
            async with web.put(link.url, data=body, headers=headers) as answer:
                assert answer.status == 403
    with pytest.raises(FailedPrecondition) as caught:
        await commit(client, link.object_id)
    assert caught.value.reason == "NOT_UPLOADED"
    assert await send(link, picture(100)) == 200
    assert (await commit(client, link.object_id)).size_bytes == 100


@pytest.mark.parametrize("body", [GIF, JPEG, b"<svg onload=alert(1)>" + bytes(79)])
async def test_e5_another_kind_than_announced_is_removed(
    client: Client, storage: StorageProcess, bucket: Bucket, body: bytes
) -> None:
    link = await presign(client, len(body), "image/png")
    assert await send(link, body) == 200
    with pytest.raises(Aborted) as caught:
        await commit(client, link.object_id)
    assert caught.value.reason == "SOURCE_FAILED"
    assert nothing_is_left(storage, bucket, link.object_id)
    # The right one may still be sent.
    assert await send(link, picture(len(body))) == 200
    assert (await commit(client, link.object_id)).content_type == "image/png"


async def test_e5_bytes_of_another_length_are_removed(
    client: Client, storage: StorageProcess, bucket: Bucket
) -> None:
    """Not every server holds a browser to the length that it signed."""
    link = await presign(client, 100)
    key = urlsplit(link.url).path.split("/", 2)[2]
    for size in (99, 101):
        bucket.put(key, picture(size))
        with pytest.raises(Aborted):
            await commit(client, link.object_id)
        assert nothing_is_left(storage, bucket, link.object_id)


async def test_e7_bytes_sent_after_the_commit_change_nothing_and_go(
    client: Client, storage: StorageProcess, bucket: Bucket
) -> None:
    link = await presign(client, 100)
    assert await send(link, picture(100)) == 200
    kept = await commit(client, link.object_id)
    assert await send(link, picture(100, seed=1)) == 200
    assert await commit(client, link.object_id) == kept
    assert (await client.read(kept.id))[1] == picture(100)
    end(storage, link.object_id)
    await eventually(lambda: len([key for key in bucket.stored() if kept.id in key]) == 1, 20)
    assert (await client.read(kept.id))[1] == picture(100)


def end(process: StorageProcess, object_id: str) -> None:
    """Lets the link have ended long ago."""
    process.rows(
        "UPDATE presigned_uploads SET expires_at = now() - interval '1 day' "
        f"WHERE object_id = '{object_id}' RETURNING 1"
    )


@pytest.mark.parametrize("sent", [True, False])
async def test_e7_what_is_not_committed_in_time_is_removed(
    client: Client, storage: StorageProcess, bucket: Bucket, sent: bool
) -> None:
    link = await presign(client, 100)
    if sent:
        assert await send(link, picture(100)) == 200
        assert not nothing_is_left(storage, bucket, link.object_id)
    end(storage, link.object_id)
    await eventually(
        lambda: (
            storage.rows(
                f"SELECT count(*) FROM presigned_uploads WHERE object_id = '{link.object_id}'"
            )
            == [(0,)]
        ),
        20,
    )
    with pytest.raises(NotFound):
        await commit(client, link.object_id)
    await eventually(lambda: nothing_is_left(storage, bucket, link.object_id), 20)


async def test_commits_at_once_make_one_object(client: Client, bucket: Bucket) -> None:
    link = await presign(client, 100_000)
    assert await send(link, picture(100_000)) == 200
    kept = await asyncio.gather(*(commit(client, link.object_id) for _ in range(8)))
    assert all(one == kept[0] for one in kept)
    assert len([key for key in bucket.stored() if link.object_id in key]) == 1


async def test_commits_at_once_in_two_replicas_make_one_object(
    make_storage: MakeStorage, s3: S3Access
) -> None:
    prefix = {"S3_PREFIX": f"{uuid4().hex}/"}
    one, other = make_storage(s3, **prefix), make_storage(s3, **prefix)
    async with one.client() as first, other.client(first.owner) as second:
        for size in (1000, 900_000, 200_000):
            link = await presign(first, size)
            assert await send(link, picture(size)) == 200
            kept = await asyncio.gather(
                *(commit(who, link.object_id) for who in (first, second) * 2)
            )
            assert all(found == kept[0] for found in kept)
    assert one.rows("SELECT count(*) FROM objects") == [(3,)]
    assert one.rows("SELECT count(*) FROM uploads") == [(0,)]


async def test_only_the_caller_himself_uploads_and_commits(client: Client) -> None:
    with pytest.raises(PermissionDenied):
        await presign(client, 100, metadata=client.user(uuid4()))
    with pytest.raises(PermissionDenied):
        await presign(client, 100, metadata=client.user(uuid4(), "admin"))
    link = await presign(client, 100)
    assert await send(link, picture(100)) == 200
    with pytest.raises(NotFound):
        await commit(client, link.object_id, client.user(uuid4()))
    await commit(client, link.object_id)
    with pytest.raises(NotFound):
        await commit(client, link.object_id, client.user(uuid4()))
    with pytest.raises(NotFound):
        await commit(client, str(uuid4()))


@pytest.mark.parametrize(
    ("size", "content_type", "error", "field"),
    [
        (0, "image/png", InvalidArgument, "size_bytes"),
        (-1, "image/png", InvalidArgument, "size_bytes"),
        (10 * 1024 * 1024 + 1, "image/png", ResourceExhausted, ""),
        (100, "image/gif", InvalidArgument, "content_type"),
        (100, "image/svg+xml", InvalidArgument, "content_type"),
        (100, "video/mp4", InvalidArgument, "content_type"),
        (100, "image/", InvalidArgument, "content_type"),
        (100, "", InvalidArgument, "content_type"),
        (100, "image/png\r\nX-Amz-Acl: public-read", InvalidArgument, "content_type"),
    ],
)
async def test_a_bad_wish_is_refused(
    client: Client, size: int, content_type: str, error: type[Exception], field: str
) -> None:
    with pytest.raises(error) as caught:
        await presign(client, size, content_type)
    assert (getattr(caught.value, "field", "") or "") == field


async def test_e7_the_link_points_to_the_public_endpoint(
    make_storage: MakeStorage, s3: S3Access
) -> None:
    process = make_storage(s3, S3_PUBLIC_ENDPOINT="https://media.example.com")
    async with process.client() as client:
        link = await presign(client, 100)
    assert link.url.startswith("https://media.example.com/")


async def test_without_s3_browsers_upload_through_the_server(
    make_storage: MakeStorage, tmp_path: Path
) -> None:
    own = OwnS3(tmp_path / "own")
    with own.up():
        process = make_storage(own.access)
        async with process.client() as client:
            link = await presign(client, 100)
            assert await send(link, picture(100)) == 200
    async with process.client(client.owner) as client:
        for _ in range(2):
            with pytest.raises(Unavailable) as caught:
                await commit(client, link.object_id)
            assert caught.value.reason == "NO_TIER"
        with pytest.raises(Unavailable) as caught:
            await presign(client, 100)
        assert caught.value.reason == "NO_TIER"
        with own.up():
            await eventually(lambda: 'tier_healthy{tier="s3"} 1.0' in process.metrics(), 20)
            # On a busy machine a server that has just come back may falter once more.
            async with asyncio.timeout(20):
                while (kept := await committed_if_it_can_be(client, link.object_id)) is None:
                    await asyncio.sleep(0.2)
            assert kept.size_bytes == 100


async def committed_if_it_can_be(client: Client, object_id: str) -> storage_pb2.StoredObject | None:
    try:
        return await commit(client, object_id)
    except Unavailable as not_yet:
        assert not_yet.reason == "NO_TIER"
        return None


async def test_proxy_delivery_hides_the_bucket_from_browsers(
    make_storage: MakeStorage, s3: S3Access
) -> None:
    process = make_storage(s3, S3_DELIVERY="proxy")
    async with process.client() as client:
        with pytest.raises(Unavailable):
            await presign(client, 100)

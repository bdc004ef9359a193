"""E4: bytes that a caller sends are kept only when he says, rightly, that they are complete."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator

import pytest

from reelgate.common.v1 import media_pb2
from reelgate.storage.v1 import storage_pb2
from services.kernel.errors import (
    Aborted,
    FailedPrecondition,
    InvalidArgument,
    PermissionDenied,
)
from services.kernel.status import rpc_errors
from tests.integration.storage.bucket import Bucket
from tests.integration.storage.harness import MIB, Client, new_run, picture, video


@pytest.mark.parametrize("size", [24, 5 * MIB, 5 * MIB + 1, 25 * MIB])
async def test_e4_a_stream_arrives_byte_for_byte(client: Client, size: int) -> None:
    body = video(size)
    kept = await client.upload(body, run=new_run())
    assert kept.sha256 == hashlib.sha256(body).digest()
    assert (await client.read(kept.id))[1] == body


@pytest.mark.parametrize(
    ("size", "chunk_bytes"), [(24, 1), (25, 7), (26, 1000), (11 * MIB + 1, 256 * 1024 - 1)]
)
async def test_e4_base64_is_decoded_as_it_streams(
    client: Client, size: int, chunk_bytes: int
) -> None:
    body = video(size)
    for spelled in (base64.b64encode(body), base64.encodebytes(body)):
        kept = await client.upload(
            body, run=new_run(), base64_text=spelled, chunk_bytes=chunk_bytes
        )
        assert kept.size_bytes == size
        assert kept.sha256 == hashlib.sha256(body).digest()


@pytest.mark.parametrize("spoiled", [b"*", b"=", b"A", b" AAA", b"AA==AAAA", "é".encode()])
async def test_e4_what_is_no_base64_stores_nothing(
    client: Client, bucket: Bucket, spoiled: bytes
) -> None:
    body = video(6 * MIB)
    text = base64.b64encode(body)
    before = bucket.stored()
    with pytest.raises(InvalidArgument) as refused:
        await client.upload(body, run=new_run(), base64_text=text + spoiled)
    assert refused.value.reason == "NOT_BASE64"
    assert bucket.stored() == before
    assert bucket.uploads() == []


@pytest.mark.parametrize(
    ("commit", "reason"),
    [
        (storage_pb2.UploadCommit(size_bytes=11 * MIB), ""),
        (storage_pb2.UploadCommit(size_bytes=11 * MIB - 1), "DIGEST_MISMATCH"),
        (storage_pb2.UploadCommit(), "DIGEST_MISMATCH"),
        (storage_pb2.UploadCommit(size_bytes=11 * MIB, sha256=bytes(32)), "DIGEST_MISMATCH"),
    ],
)
async def test_the_commit_is_compared(
    client: Client, bucket: Bucket, commit: storage_pb2.UploadCommit, reason: str
) -> None:
    work = client.upload(video(11 * MIB), run=new_run(), commit=commit)
    if not reason:
        assert (await work).size_bytes == 11 * MIB
        return
    before = bucket.stored()
    with pytest.raises(InvalidArgument) as caught:
        await work
    assert caught.value.reason == reason
    assert bucket.stored() == before
    assert bucket.uploads() == []


async def test_without_a_commit_nothing_is_kept(client: Client, bucket: Bucket) -> None:
    before = bucket.stored()
    with pytest.raises(Aborted) as caught:
        await client.upload(video(6 * MIB), run=new_run(), committed=False)
    assert caught.value.reason == "SOURCE_FAILED"
    assert bucket.stored() == before
    assert bucket.uploads() == []


async def test_the_same_step_again_is_the_same_object(client: Client) -> None:
    run = new_run()
    first = await client.upload(video(1000), run=run)
    assert await client.upload(video(1000), run=run) == first
    await client.tombstone(run)
    with pytest.raises(FailedPrecondition):
        await client.upload(video(1000), run=run)


async def test_e6_users_upload_reference_images_for_themselves(
    client: Client, bucket: Bucket
) -> None:
    image = media_pb2.MEDIA_TYPE_IMAGE
    kept = await client.upload(picture(5000), media=image, metadata=client.user())
    assert kept.generation_id == ""
    key = f"{client.process.prefix}input/{client.owner}/{kept.id}.png"
    assert key in bucket.stored()
    assert (await client.read(kept.id, metadata=client.user()))[1] == picture(5000)
    with pytest.raises(PermissionDenied):
        await client.upload(video(100), run=new_run(), metadata=client.user())
    usage = storage_pb2.GetUsageRequest(owner_id=str(client.owner))
    answer = await client.stub.GetUsage(usage, metadata=client.user())
    assert answer.object_count == 0  # works only


async def test_uploads_at_once_do_not_mix(client: Client) -> None:
    bodies = [video(7 * MIB, seed=seed) for seed in range(6)]
    kept = await asyncio.gather(*(client.upload(body, run=new_run()) for body in bodies))
    for one, body in zip(kept, bodies, strict=True):
        assert one.sha256 == hashlib.sha256(body).digest()


async def test_messages_in_the_wrong_order_are_refused(client: Client) -> None:
    async def only_a_chunk() -> AsyncIterator[storage_pb2.UploadRequest]:
        yield storage_pb2.UploadRequest(chunk=b"x")

    with pytest.raises(InvalidArgument), rpc_errors():
        await client.stub.Upload(only_a_chunk(), metadata=client.gateway())

"""E4, E5, E6: what a URL gives is kept, byte for byte, in S3."""

import hashlib
import re
import urllib.request
from uuid import UUID

import pytest

from reelgate.common.v1 import media_pb2
from reelgate.storage.v1 import storage_pb2
from tests.integration.storage.bucket import Bucket
from tests.integration.storage.harness import MIB, Client, Source, new_run, picture, video

PART = 5 * MIB


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("size", [24, PART - 1, PART, PART + 1, 25 * MIB])
async def test_e4_any_size_arrives_byte_for_byte(
    client: Client, source: Source, bucket: Bucket, size: int, framing: str
) -> None:
    body = video(size, seed=size)
    kept = await client.ingest(source.serve(body, framing=framing))
    digest = hashlib.sha256(body).digest()
    assert (kept.size_bytes, kept.sha256, kept.tier) == (size, digest, storage_pb2.TIER_S3)
    header, read = await client.read(kept.id)
    assert (header.length, hashlib.sha256(read).digest()) == (size, digest)
    key = next(key for key in bucket.stored() if kept.id in key)
    assert hashlib.sha256(bucket.read(key)).digest() == digest


async def test_e6_the_key_says_owner_day_and_object(
    client: Client, source: Source, bucket: Bucket
) -> None:
    kept = await client.ingest(source.serve(video(100)))
    key = next(key for key in bucket.stored() if kept.id in key)
    expected = rf"{client.process.prefix}{client.owner}/2025/06/15/{kept.id}\.mp4"
    assert re.fullmatch(expected, key)
    assert UUID(kept.id).version == 5


@pytest.mark.parametrize("size", [100, PART + 1])
async def test_e5_what_is_stored_says_what_it_is(
    client: Client, source: Source, bucket: Bucket, size: int
) -> None:
    url = source.serve(picture(size))
    kept = await client.ingest(url, media=media_pb2.MEDIA_TYPE_IMAGE)
    assert kept.content_type == "image/png"
    key = next(key for key in bucket.stored() if kept.id in key)
    head = bucket.head(key)
    assert head["ContentType"] == "image/png"
    assert head["CacheControl"] == "public, max-age=31536000, immutable"


async def test_e6_the_same_step_again_is_the_same_object_and_downloads_nothing(
    client: Client, source: Source
) -> None:
    run = new_run()
    url = source.serve(video(1000))
    first = await client.ingest(url, run=run)
    assert await client.ingest(url, run=run) == first
    assert len(source.seen) == 1
    other = await client.ingest(url, run=run, index=1)
    assert other.id != first.id


async def test_e4_progress_climbs_to_the_end(client: Client, source: Source) -> None:
    url = source.serve(video(20 * MIB), seconds_per_write=0.02)
    messages = await client.watch(client.request(url))
    done = [message.done_bytes for message in messages]
    assert done == sorted(done)
    assert len(messages) > 2
    assert {message.total_bytes for message in messages[1:]} == {20 * MIB}
    assert [message.HasField("object") for message in messages[-2:]] == [False, True]


async def test_the_source_sees_its_headers_and_asks_for_no_compression(
    client: Client, source: Source
) -> None:
    await client.ingest(source.serve(video(50)), headers={"Authorization": "Bearer secret-of-ours"})
    assert "Authorization: Bearer secret-of-ours" in source.heads[-1]
    assert "Accept-Encoding: identity" in source.heads[-1]
    log = client.process.log.read_text()
    assert "secret-of-ours" not in log
    assert "X-Amz-Signature" not in log


async def test_e7_links_play_download_and_stay_the_same(client: Client, source: Source) -> None:
    body = video(3000)
    kept = await client.ingest(source.serve(body))

    async def link(name: str = "") -> storage_pb2.ObjectUrl:
        request = storage_pb2.ResolveUrlsRequest(object_ids=[kept.id], download_name=name)
        answer = await client.stub.ResolveUrls(request, metadata=client.user())
        return answer.urls[0]

    shown = await link()
    assert shown == await link()
    with urllib.request.urlopen(shown.url, timeout=5) as answer:
        assert answer.read() == body
        assert answer.headers["Content-Type"] == "video/mp4"
    with urllib.request.urlopen((await link('Кот "x".mp4')).url, timeout=5) as answer:
        assert answer.headers["Content-Disposition"].startswith("attachment; filename=")
    status = await client.stub.GetStatus(storage_pb2.GetStatusRequest(), metadata=client.user())
    assert (status.s3_enabled, status.s3_healthy, status.local_enabled) == (True, True, True)
    assert any(shown.url.startswith(origin + "/") for origin in status.link_origins)


async def test_e8_parts_of_an_object_can_be_read(client: Client, source: Source) -> None:
    body = video(700_000)
    kept = await client.ingest(source.serve(body))
    for offset, length, expected in (
        (0, 10, body[:10]),
        (699_990, 0, body[-10:]),
        (-5, 0, body[-5:]),
        (-1_000_000, 0, body),
        (300_000, 300_000, body[300_000:600_000]),
        (699_999, 99, body[-1:]),
    ):
        header, read = await client.read(kept.id, offset, length)
        assert read == expected
        assert (header.length, header.object.size_bytes) == (len(expected), len(body))

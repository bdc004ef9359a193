"""E5: a source that breaks, hangs, lies or never ends leaves nothing behind, and the caller is told why."""

import asyncio
import random
from typing import Any

import pytest

from reelgate.common.v1 import media_pb2
from services.kernel.errors import Aborted, InvalidArgument, ReelgateError, ResourceExhausted
from tests.integration.storage.bucket import Bucket
from tests.integration.storage.conftest import MakeStorage
from tests.integration.storage.harness import MIB, Client, Source, new_run, picture, video

_LEFT = "SELECT (SELECT count(*) FROM uploads) + (SELECT count(*) FROM removals WHERE seen_gone_at IS NULL)"


async def refused(client: Client, url: str, **options: Any) -> ReelgateError:
    """The error of an ingest, which left nothing behind."""
    run = new_run()
    with pytest.raises(ReelgateError) as caught:
        await client.ingest(url, run=run, **options)
    found = client.process.rows(
        f"SELECT 1 FROM objects WHERE generation_id = '{run.generation_id}' "
        f"UNION ALL SELECT 1 FROM uploads WHERE generation_id = '{run.generation_id}'"
    )
    assert found == []
    return caught.value


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_e5_a_body_cut_at_a_random_byte_is_never_kept(
    client: Client, source: Source, bucket: Bucket, framing: str
) -> None:
    chance = random.Random(framing)
    before = set(bucket.stored())
    large = video(12 * MIB)

    async def trial(number: int) -> None:
        # Most are small and quick; some are cut in each of their parts.
        body = large if number % 6 == 0 else video(50_000, seed=number)
        cut = chance.randrange(len(body))
        error = await refused(client, source.serve(body, framing=framing, cut=cut))
        assert isinstance(error, Aborted)
        assert error.reason == "SOURCE_FAILED"

    numbers = iter(range(60))

    async def one_after_the_other() -> None:
        for number in numbers:
            await trial(number)

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(one_after_the_other())
    assert set(bucket.stored()) == before
    assert bucket.uploads() == []


@pytest.mark.parametrize(
    ("how", "hint"),
    [
        ({"promised": 200_001}, "reset"),
        ({"promised": 199_999, "framing": "length", "cut": 100_000}, "reset"),
        ({"framing": "none"}, "where its answer ends"),
        ({"status": "404 Not Found"}, "404"),
        ({"status": "500 Oops"}, "500"),
        ({"status": "206 Partial Content"}, "206"),
        ({"headers": ("Content-Encoding: gzip",)}, "compresses"),
    ],
)
async def test_e5_a_lying_source_is_told_apart(
    client: Client, source: Source, how: dict[str, Any], hint: str
) -> None:
    error = await refused(client, source.serve(video(200_000), **how))
    assert isinstance(error, Aborted)
    assert error.reason == "SOURCE_FAILED"
    assert hint in f"{error.message} {error.metadata}"


async def test_the_status_of_a_refusing_source_is_told(client: Client, source: Source) -> None:
    error = await refused(client, source.serve(b"gone", status="410 Gone"))
    assert error.metadata["status"] == "410"


@pytest.mark.parametrize(
    ("body", "media"),
    [
        (b"<html>sorry</html>" * 100, media_pb2.MEDIA_TYPE_VIDEO),
        (b"", media_pb2.MEDIA_TYPE_VIDEO),
        (picture(1000), media_pb2.MEDIA_TYPE_VIDEO),
        (video(1000), media_pb2.MEDIA_TYPE_IMAGE),
        (b"PK\x03\x04" + bytes(1000), media_pb2.MEDIA_TYPE_UNSPECIFIED),
    ],
)
async def test_e5_another_kind_of_file_is_not_kept(
    client: Client, source: Source, body: bytes, media: media_pb2.MediaType.ValueType
) -> None:
    error = await refused(client, source.serve(body), media=media)
    assert isinstance(error, Aborted)
    assert error.reason == "SOURCE_FAILED"


@pytest.mark.parametrize("how", [{}, {"framing": "chunked", "endless": True}])
async def test_e4_no_more_than_the_limit_is_taken(
    client: Client, source: Source, bucket: Bucket, how: dict[str, Any]
) -> None:
    url = source.serve(video(12 * MIB), **how)
    error = await refused(client, url, max_size_bytes=11 * MIB)
    assert isinstance(error, ResourceExhausted)
    assert error.reason == "OBJECT_TOO_LARGE"
    assert bucket.uploads() == []


async def test_a_redirect_to_a_private_address_is_refused(client: Client, source: Source) -> None:
    async with Source().running() as inside:
        secret = inside.serve(video(100))
        url = source.serve(b"", status="302 Found", headers=(f"Location: {secret}",))
        error = await refused(client, url)
        assert isinstance(error, InvalidArgument)
        assert error.reason == "SOURCE_REFUSED"
        assert inside.seen == []


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/x.mp4",
        "http://localhost:{port}/x.mp4",
        "http://[::1]:{port}/x.mp4",
        "http://2130706433:{port}/x.mp4",
        "http://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
        "no address",
    ],
)
async def test_an_address_of_our_own_network_is_refused(
    client: Client, source: Source, url: str
) -> None:
    port = source.url.rpartition(":")[2]
    error = await refused(client, url.format(port=port), trusted=False)
    assert isinstance(error, InvalidArgument)
    assert error.reason == "SOURCE_REFUSED"
    assert source.seen == []


async def test_not_even_the_bucket_is_reachable_as_a_source(client: Client) -> None:
    assert client.process.s3 is not None
    error = await refused(client, f"{client.process.s3.endpoint}/x.mp4", trusted=False)
    assert error.reason == "SOURCE_REFUSED"


async def test_a_redirect_within_the_trusted_origin_is_followed(
    client: Client, source: Source
) -> None:
    goal = source.serve(video(100))
    url = source.serve(b"", status="307 There", headers=(f"Location: {goal}",))
    assert (await client.ingest(url)).size_bytes == 100


@pytest.mark.parametrize("name", ["Host", "Content-Length", "Range", "bad name", "X\r\nY"])
async def test_headers_that_would_change_the_request_are_refused(
    client: Client, source: Source, name: str
) -> None:
    error = await refused(client, source.serve(video(100)), headers={name: "1"})
    assert isinstance(error, InvalidArgument)
    assert source.seen == []


async def test_e5_sources_that_hang_or_never_end_are_given_up(
    make_storage: MakeStorage, s3: Any, source: Source
) -> None:
    process = make_storage(
        s3, REELGATE_STORAGE_SOURCE_IDLE_SECONDS="1", REELGATE_STORAGE_SOURCE_TOTAL_SECONDS="4"
    )
    bucket = Bucket(s3, process.prefix)
    async with process.client() as client:
        hanging = source.serve(video(12 * MIB), pause_at=7 * MIB)
        silent = source.serve(video(1000), pause_at=0)
        dripping = source.serve(video(1000), framing="chunked", endless=True, seconds_per_write=0.5)
        urls = (hanging, silent, dripping)
        errors = await asyncio.gather(*(refused(client, url) for url in urls))
    assert [error.metadata["kind"] for error in errors] == ["timeout"] * 3
    assert bucket.stored() == bucket.uploads() == []
    assert process.rows(_LEFT) == [(0,)]
    bucket.close()

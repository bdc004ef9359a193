"""E13: each object gets a small picture that lies beside it, and goes with it."""

import asyncio
import io
import random
import signal
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
from PIL import Image

from reelgate.common.v1 import media_pb2
from reelgate.storage.v1 import storage_pb2
from services.kernel.errors import NotFound
from services.kernel.status import rpc_errors
from services.storage.objects import thumbnail_key
from tests.conftest import S3Access
from tests.integration.storage import media_files as files
from tests.integration.storage.bucket import Bucket
from tests.integration.storage.conftest import MakeStorage
from tests.integration.storage.harness import (
    Client,
    Source,
    StorageProcess,
    eventually,
    new_run,
    video,
)


def state(process: StorageProcess, object_id: str) -> str:
    rows = process.rows(f"SELECT thumbnail_state FROM objects WHERE id = '{object_id}'")
    return str(rows[0][0]) if rows else "gone"


async def pictured(process: StorageProcess, object_id: str, wanted: str = "done") -> None:
    await eventually(lambda: state(process, object_id) == wanted, 20)


async def links(client: Client, object_id: str) -> storage_pb2.ObjectUrl:
    request = storage_pb2.ResolveUrlsRequest(object_ids=[object_id])
    with rpc_errors():
        answer = await client.stub.ResolveUrls(request, metadata=client.user())
    return answer.urls[0]


async def small(client: Client, object_id: str, metadata: Any = None) -> bytes:
    request = storage_pb2.DownloadRequest(object_id=object_id, thumbnail=True)
    with rpc_errors():
        call = client.stub.Download(request, metadata=metadata or client.user())
        messages = [message async for message in call]
    assert messages[0].header.length == sum(len(message.chunk) for message in messages)
    return b"".join(message.chunk for message in messages)


async def usage(client: Client) -> tuple[int, int]:
    request = storage_pb2.GetUsageRequest(owner_id=str(client.owner))
    answer = await client.stub.GetUsage(request, metadata=client.user())
    return answer.size_bytes, answer.object_count


async def delete(client: Client, *object_ids: str) -> int:
    request = storage_pb2.DeleteObjectsRequest(object_ids=object_ids)
    with rpc_errors():
        answer = await client.stub.DeleteObjects(request, metadata=client.gateway())
    return answer.deleted_count


def made(process: StorageProcess, result: str = "MADE") -> int:
    wanted = f'reelgate_storage_thumbnail_seconds_count{{result="{result}"}} '
    for line in process.metrics().splitlines():
        if line.startswith(wanted):
            return int(float(line.removeprefix(wanted)))
    return 0


def child_of(process: StorageProcess) -> psutil.Process | None:
    return next(iter(psutil.Process(process.pid).children()), None)


async def test_e13_a_film_gets_a_picture_that_lies_beside_it(
    client: Client, source: Source, bucket: Bucket
) -> None:
    body = files.film()
    kept = await client.ingest(source.serve(body))
    await pictured(client.process, kept.id)
    (key,) = [key for key in bucket.stored() if kept.id in key and key.endswith(".mp4")]
    head = bucket.head(thumbnail_key(key))
    assert head["ContentType"] == "image/webp"
    assert "immutable" in head["CacheControl"]

    found = await links(client, kept.id)
    assert (found.width, found.height, found.has_thumbnail) == (640, 360, True)
    assert found.duration.ToMilliseconds() == 1000
    async with aiohttp.ClientSession() as http, http.get(found.thumbnail_url) as answer:
        assert answer.headers["Content-Type"] == "image/webp"
        webp = await answer.read()
    with Image.open(io.BytesIO(webp)) as shown:
        assert (shown.format, shown.size) == ("WEBP", (640, 360))
    assert webp == bucket.read(thumbnail_key(key)) == await small(client, kept.id)
    assert await usage(client) == (len(body), 1), "it does not count"


async def test_e13_it_is_its_owners_alone(client: Client, source: Source) -> None:
    kept = await client.ingest(source.serve(files.film()))
    await pictured(client.process, kept.id)
    async with client.process.client() as stranger:
        with pytest.raises(NotFound):
            await small(stranger, kept.id)


async def test_e13_a_picture_on_the_local_disk(make_storage: MakeStorage) -> None:
    process = make_storage(None)
    async with process.client() as client:
        kept = await client.upload(
            files.picture("PNG"), run=new_run(), media=media_pb2.MEDIA_TYPE_IMAGE
        )
        await pictured(process, kept.id)
        found = await links(client, kept.id)
        assert (found.url, found.thumbnail_url, found.has_thumbnail) == ("", "", True)
        assert (found.width, found.height, found.HasField("duration")) == (1200, 800, False)
        assert (await small(client, kept.id))[8:12] == b"WEBP"
        (file,) = process.local_dir.rglob(f"{kept.id}.thumb.webp")
        assert await delete(client, kept.id) == 1
        assert not file.exists()


async def test_e13_what_has_no_picture_is_looked_at_once(
    client: Client, source: Source, bucket: Bucket
) -> None:
    kept = await client.ingest(source.serve(video(1000)))
    await pictured(client.process, kept.id, "none")
    found = await links(client, kept.id)
    assert (found.has_thumbnail, found.thumbnail_url, found.width) == (False, "", 0)
    with pytest.raises(NotFound):
        await small(client, kept.id)
    assert [key.rpartition(".")[2] for key in bucket.stored() if kept.id in key] == ["mp4"]


@pytest.mark.parametrize("way", ["delete", "tombstone"])
async def test_e13_it_goes_with_its_object(
    client: Client, source: Source, bucket: Bucket, way: str
) -> None:
    run = new_run()
    kept = await client.ingest(source.serve(files.film()), run=run)
    await pictured(client.process, kept.id)
    gone = delete(client, kept.id) if way == "delete" else client.tombstone(run)
    assert await gone == 1, "a picture is not an object"
    assert not [key for key in bucket.stored() if kept.id in key]


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_e13_one_that_is_being_made_while_its_object_goes_does_not_stay(
    client: Client, source: Source, bucket: Bucket
) -> None:
    """Three hundred times, at every moment between the commit and the finished picture."""
    chance = random.Random(13)
    url = source.serve(files.film(frames=2))
    numbers = iter(range(300))

    async def race() -> None:
        for _ in numbers:
            kept = await client.ingest(url)
            await asyncio.sleep(chance.uniform(0, 0.12))
            assert await delete(client, kept.id) == 1
            left = await asyncio.to_thread(bucket.stored, f"{client.owner}/")
            assert not [key for key in left if kept.id in key]

    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(race())
    assert bucket.stored(f"{client.owner}/") == []
    assert made(client.process, "TOO_LATE") > 5, "the race was one"


async def test_e13_replicas_share_the_work_and_none_is_made_twice(
    make_storage: MakeStorage, source: Source
) -> None:
    url = source.serve(files.film(frames=2))
    first, second = make_storage(None), make_storage(None)
    async with first.client() as one, second.client() as other:
        for _ in range(12):
            await asyncio.gather(one.ingest(url), other.ingest(url))
        waiting = "SELECT 1 FROM objects WHERE thumbnail_state <> 'done'"
        await eventually(lambda: not first.rows(waiting), 30)
    assert made(first) + made(second) == 24
    assert min(made(first), made(second)) > 0


async def test_e13_a_killed_service_takes_its_child_along_and_the_next_one_goes_on(
    make_storage: MakeStorage, source: Source
) -> None:
    process = make_storage(None)
    async with process.client() as client:
        kept = await client.ingest(source.serve(files.film()))
        await pictured(process, kept.id)
        child = child_of(process)
        assert child is not None
        child.suspend()  # it will not notice by itself
        late = await client.ingest(source.serve(files.film()))
        await pictured(process, late.id, "making")
        process.kill()
        await eventually(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
    process.start()
    process.rows("UPDATE objects SET thumbnail_due_at = now() RETURNING 1")  # its claim ran out
    async with process.client() as client:
        await client.ingest(source.serve(video(10)))
        await pictured(process, late.id)


async def test_e13_a_stop_does_not_wait_for_the_child(make_storage: MakeStorage) -> None:
    process = make_storage(None)
    async with process.client() as client:
        kept = await client.upload(files.film(), run=new_run())
        await pictured(process, kept.id)
        child = child_of(process)
        assert child is not None
        child.suspend()
        stuck = await client.upload(files.film(), run=new_run())
        await pictured(process, stuck.id, "making")
    assert await asyncio.to_thread(process.stop, signal.SIGTERM) == 0
    assert not child.is_running()
    (tries,) = process.rows(f"SELECT thumbnail_tries FROM objects WHERE id = '{stuck.id}'")
    assert tries == (0,), "it was not the file's fault"


async def test_e13_one_whose_making_was_an_accident_is_tried_again_by_itself(
    make_storage: MakeStorage,
) -> None:
    process = make_storage(None)
    async with process.client() as client:
        first = await client.upload(files.film(), run=new_run())
        await pictured(process, first.id)
        victim = child_of(process)
        assert victim is not None
        victim.suspend()
        unlucky = await client.upload(files.film(), run=new_run())
        await pictured(process, unlucky.id, "making")
        victim.kill()
        await eventually(lambda: made(process, "DIED") == 1)
        assert state(process, unlucky.id) == "making"
        await pictured(process, unlucky.id)


async def test_e13_a_moved_object_has_its_picture_at_its_new_place(
    make_storage: MakeStorage, s3: S3Access, source: Source
) -> None:
    process = make_storage(s3)
    bucket = Bucket(s3, process.prefix)
    async with process.client() as client:
        kept = await client.ingest(source.serve(files.film()))
        await pictured(process, kept.id)
        request = storage_pb2.MoveRequest(object_id=kept.id, tier=storage_pb2.TIER_LOCAL)
        with rpc_errors():
            async for _ in client.stub.Move(request, metadata=client.gateway()):
                pass
        await pictured(process, kept.id)
        assert (await small(client, kept.id))[8:12] == b"WEBP"
        assert list(process.local_dir.rglob(f"{kept.id}.thumb.webp"))
        await eventually(lambda: not [key for key in bucket.stored() if kept.id in key])
    bucket.close()


async def test_e13_a_removal_from_before_does_not_take_the_picture_of_one_that_came_back(
    client: Client, source: Source, bucket: Bucket
) -> None:
    run, url = new_run(), source.serve(files.film())
    kept = await client.ingest(url, run=run)
    await pictured(client.process, kept.id)
    await delete(client, kept.id)
    again = await client.ingest(url, run=run)
    assert again.id == kept.id
    await pictured(client.process, kept.id)
    client.process.rows("UPDATE removals SET next_try_at = now() WHERE gone_at IS NULL RETURNING 1")
    await asyncio.sleep(2)
    assert len([key for key in bucket.stored() if kept.id in key]) == 2


async def test_e13_the_service_does_not_grow_by_it(make_storage: MakeStorage) -> None:
    process = make_storage(None)
    large = files.picture("PNG", 4000, 3000)
    async with process.client() as client:

        async def keep() -> None:
            kept = await client.upload(large, run=new_run(), media=media_pb2.MEDIA_TYPE_IMAGE)
            await pictured(process, kept.id)

        await keep()
        before = process.rss()
        for _ in range(10):
            await keep()
    assert process.rss() < before + 8 * 1024 * 1024
    maps = Path(f"/proc/{process.pid}/maps").read_text()
    assert "libavcodec" not in maps
    assert "PIL" not in maps


async def test_e13_switched_off_nothing_is_made(make_storage: MakeStorage) -> None:
    process = make_storage(None, REELGATE_STORAGE_THUMBNAILS="false")
    async with process.client() as client:
        kept = await client.upload(files.film(), run=new_run())
        await asyncio.sleep(1)
        assert state(process, kept.id) == "pending"
    assert child_of(process) is None

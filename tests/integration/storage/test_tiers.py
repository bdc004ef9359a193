"""D2, E8: S3, else local disk, else a clear refusal, soon."""

import asyncio
import hashlib
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.local import ports
from deploy.local.postgres import new_password
from deploy.local.process import running
from deploy.local.s3 import GRPC_OFFSET, PARTS, S3
from reelgate.storage.v1 import storage_pb2
from services.kernel.errors import Unavailable
from services.kernel.status import rpc_errors
from tests.conftest import S3Access
from tests.integration.storage.bucket import Bucket
from tests.integration.storage.conftest import MakeStorage
from tests.integration.storage.harness import (
    MIB,
    Client,
    Source,
    eventually,
    new_run,
    picture,
    video,
)


class OwnS3:
    """An S3 server that may be hurt."""

    def __init__(self, directory: Path) -> None:
        chosen: dict[str, int] = {}
        for part in PARTS:
            chosen[part] = ports.choose(set(chosen.values()), companion=GRPC_OFFSET)
        self.server = S3(directory, chosen, "tests", new_password())
        self.log = directory / "s3.log"
        self.access = S3Access(
            self.server.endpoint, self.server.bucket, "tests", self.server.secret_access_key
        )

    @contextmanager
    def up(self) -> Iterator[int]:
        with running(self.server.program(self.log)) as process:
            yield process.pid


@pytest.fixture
def own_s3(tmp_path: Path) -> OwnS3:
    return OwnS3(tmp_path / "s3")


async def status(client: Client) -> tuple[bool, bool, bool]:
    answer = await client.stub.GetStatus(storage_pb2.GetStatusRequest(), metadata=client.user())
    return answer.s3_enabled, answer.s3_healthy, answer.local_enabled


async def refused_soon(client: Client, url: str) -> None:
    begin = time.monotonic()
    with pytest.raises(Unavailable) as caught:
        await client.ingest(url)
    assert caught.value.reason == "NO_TIER"
    assert caught.value.retry_after is not None
    assert time.monotonic() - begin < 15


async def test_d2_without_s3_works_go_to_the_local_disk_and_back_to_s3_when_it_is_there(
    make_storage: MakeStorage, own_s3: OwnS3, source: Source
) -> None:
    process = make_storage(own_s3.access)  # its start does not depend on S3
    async with process.client() as client:
        assert await status(client) == (True, False, True)
        body = video(12 * MIB)
        run = new_run()
        kept = await client.ingest(source.serve(body), run=run)
        assert kept.tier == storage_pb2.TIER_LOCAL
        assert (await client.read(kept.id))[1] == body
        assert (await client.read(kept.id, 6_000_000, 100))[1] == body[6_000_000:6_000_100]
        request = storage_pb2.ResolveUrlsRequest(object_ids=[kept.id])
        answer = await client.stub.ResolveUrls(request, metadata=client.user())
        assert [one.url for one in answer.urls] == [""]
        files = [path for path in process.local_dir.rglob("*") if path.is_file()]
        assert {path.name for path in files} == {f"{kept.id}.mp4", ".reelgate-volume"}
        assert await client.tombstone(run) == 1
        assert not list(process.local_dir.rglob("*.mp4"))
        with own_s3.up():
            begin = time.monotonic()
            while await status(client) != (True, True, True):
                assert time.monotonic() - begin < 15
                await asyncio.sleep(0.1)
            assert (await client.ingest(source.serve(body))).tier == storage_pb2.TIER_S3


async def test_d2_s3_that_dies_midway_is_left_for_the_local_disk_and_cleaned_up_later(
    make_storage: MakeStorage, own_s3: OwnS3, source: Source
) -> None:
    body = video(40 * MIB)
    url = source.serve(body, pause_at=21 * MIB)
    with own_s3.up() as pid:
        process = make_storage(own_s3.access)
        bucket = Bucket(own_s3.access, process.prefix)
        async with process.client() as client:
            work = asyncio.create_task(client.ingest(url))
            await eventually(lambda: bool(bucket.uploads()))
            os.kill(pid, signal.SIGKILL)
            source.script(url).go_on.set()
            kept = await work
            assert kept.tier == storage_pb2.TIER_LOCAL
            assert (await client.read(kept.id))[1] == body
    with own_s3.up():
        await eventually(
            lambda: (
                process.rows("SELECT count(*) FROM removals WHERE seen_gone_at IS NULL") == [(0,)]
            ),
            within_seconds=20,
        )
        assert bucket.uploads() == bucket.stored() == []
    bucket.close()


async def test_d2_s3_that_hangs_is_left_for_the_local_disk_within_20_seconds(
    make_storage: MakeStorage, own_s3: OwnS3, source: Source
) -> None:
    body = video(30 * MIB)
    sent = video(12 * MIB, seed=1)
    url = source.serve(body, pause_at=11 * MIB)
    with own_s3.up() as pid:
        process = make_storage(own_s3.access)
        bucket = Bucket(own_s3.access, process.prefix)
        async with process.client() as client:
            work = asyncio.create_task(client.ingest(url))
            await eventually(lambda: bool(bucket.uploads()))
            # A body that can not be fetched again survives the change, too: it is spooled.
            stopped = asyncio.Event()

            async def hold(offset: int) -> None:
                if offset > 8 * MIB:
                    await stopped.wait()

            upload = asyncio.create_task(client.upload(sent, run=new_run(), between=hold))
            await eventually(lambda: len(bucket.uploads()) == 2)
            os.kill(pid, signal.SIGSTOP)
            begin = time.monotonic()
            try:
                source.script(url).go_on.set()
                stopped.set()
                kept, uploaded = await asyncio.gather(work, upload)
                assert time.monotonic() - begin < 20
            finally:
                os.kill(pid, signal.SIGCONT)
            assert kept.tier == uploaded.tier == storage_pb2.TIER_LOCAL
            assert kept.sha256 == hashlib.sha256(body).digest()
            assert (await client.read(kept.id))[1] == body
            assert (await client.read(uploaded.id))[1] == sent
        bucket.close()


async def test_with_both_tiers_off_the_refusal_comes_soon(
    make_storage: MakeStorage, own_s3: OwnS3, source: Source
) -> None:
    url = source.serve(video(12 * MIB))
    with own_s3.up() as pid:
        process = make_storage(own_s3.access, REELGATE_STORAGE_LOCAL_ENABLED="false")
        async with process.client() as client:
            assert await status(client) == (True, True, False)
            os.kill(pid, signal.SIGSTOP)
            try:
                # First it is believed to be well and hangs; then it is known.
                await refused_soon(client, url)
                await refused_soon(client, url)
            finally:
                os.kill(pid, signal.SIGCONT)
    async with process.client() as client:
        await refused_soon(client, url)
        assert process.rows("SELECT count(*) FROM uploads") == [(0,)]
        assert await status(client) == (True, False, False)


async def test_e9_a_delete_that_fails_now_is_done_later(
    make_storage: MakeStorage, own_s3: OwnS3, source: Source
) -> None:
    run = new_run()
    with own_s3.up():
        process = make_storage(own_s3.access)
        async with process.client() as client:
            kept = await client.ingest(source.serve(video(1000)), run=run)
    async with process.client(client.owner) as client:
        for _ in range(2):
            with pytest.raises(Unavailable) as caught:
                await client.tombstone(run)
            assert caught.value.reason == "REMOVAL_PENDING"
        with pytest.raises(Exception, match="no such object"):
            await client.read(kept.id)
        with own_s3.up():
            bucket = Bucket(own_s3.access, process.prefix)
            await eventually(lambda: bucket.stored() == [], within_seconds=20)
            bucket.close()


async def test_e8_another_volume_in_its_place_is_noticed_and_nothing_is_lost(
    make_storage: MakeStorage, source: Source
) -> None:
    process = make_storage(None)
    async with process.client() as client:
        kept = await client.ingest(source.serve(video(1000)))
        away = process.local_dir.with_name("away")
        process.local_dir.rename(away)
        process.local_dir.mkdir()
        await refused_soon(client, source.serve(video(500)))
        request = storage_pb2.DeleteObjectsRequest(object_ids=[kept.id])
        with pytest.raises(Unavailable), rpc_errors():
            await client.stub.DeleteObjects(request, metadata=client.gateway())
        process.local_dir.rmdir()
        away.rename(process.local_dir)
        await eventually(
            lambda: (
                process.rows("SELECT count(*) FROM removals WHERE seen_gone_at IS NULL") == [(0,)]
            ),
            20,
        )
        assert not list(process.local_dir.rglob("*.mp4"))


async def test_e8_a_full_disk_is_a_clear_refusal(make_storage: MakeStorage, source: Source) -> None:
    process = make_storage(None, REELGATE_STORAGE_LOCAL_MIN_FREE_BYTES=str(1 << 60))
    async with process.client() as client:
        await refused_soon(client, source.serve(picture(100)))

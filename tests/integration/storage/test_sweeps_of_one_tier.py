"""E10: what sweeps do with what only one kind of tier has: markers, multiparts, volumes, and many keys."""

import json
from contextlib import closing
from uuid import uuid4

import pytest

from services.kernel.errors import FailedPrecondition
from tests.conftest import S3Access
from tests.integration.storage.bucket import Bucket
from tests.integration.storage.conftest import MakeStorage
from tests.integration.storage.ground import IMPATIENT, settled, sweep, sweep_steps, work_key
from tests.integration.storage.harness import MIB, Source, video


async def test_e10_the_marker_names_the_installation_and_another_is_refused(
    make_storage: MakeStorage, s3: S3Access
) -> None:
    process = make_storage(s3, **IMPATIENT)
    await settled(process)
    with closing(Bucket(s3, process.prefix)) as bucket:
        async with process.client() as client:
            marker = f"{process.prefix}.reelgate"
            await sweep(client, dry_run=True)
            assert bucket.stored() == []
            await sweep(client)
            assert bucket.stored() == [marker]
            [(installation,)] = process.rows("SELECT id FROM installation")
            assert json.loads(bucket.read(marker))["installation_id"] == str(installation)
            await sweep(client)
            for body in (json.dumps({"installation_id": str(uuid4())}).encode(), b"what?"):
                bucket.put(marker, body)
                bucket.put(work_key(process.prefix), video(1000))
                for dry_run in (True, False):
                    with pytest.raises(FailedPrecondition) as caught:
                        await sweep(client, dry_run=dry_run)
                    assert caught.value.reason == "SWEEP_STOPPED"
                assert process.rows("SELECT count(*) FROM objects") == [(0,)]
                assert bucket.read(marker) == body


async def test_e10_what_tests_and_browsers_left_behind_is_removed(
    make_storage: MakeStorage, s3: S3Access
) -> None:
    process = make_storage(s3, **IMPATIENT)
    await settled(process)
    with closing(Bucket(s3, process.prefix)) as bucket:
        async with process.client() as client:
            await sweep(client)
            for name in (f".trial/{uuid4()}.jpg", f".incoming/{uuid4()}", ".other/file"):
                bucket.put(process.prefix + name, b"left behind")
            assert (await sweep(client)).aborted_count == 2
            assert bucket.stored() == [f"{process.prefix}.other/file", f"{process.prefix}.reelgate"]


async def test_e10_multiparts_of_others_are_left_alone(
    make_storage: MakeStorage, s3: S3Access
) -> None:
    process = make_storage(s3, **IMPATIENT)
    await settled(process)
    with closing(Bucket(s3, process.prefix)) as bucket:
        async with process.client() as client:
            for name in ("somebody's.tar", work_key("")):
                bucket.begin_upload(process.prefix + name)
            assert (await sweep(client)).aborted_count == 1
            assert bucket.uploads() == [f"{process.prefix}somebody's.tar"]


async def test_e8_a_missing_volume_is_not_swept(
    make_storage: MakeStorage, s3: S3Access, source: Source
) -> None:
    process = make_storage(None, **IMPATIENT)
    async with process.client() as client:
        await client.ingest(source.serve(video(2000)))
    process.stop()
    away = process.local_dir.with_name("away")
    process.local_dir.rename(away)
    process.local_dir.mkdir()
    process.environment |= make_storage(s3, **IMPATIENT).environment | {
        "REELGATE_STORAGE_LISTEN": process.environment["REELGATE_STORAGE_LISTEN"],
        "REELGATE_STORAGE_ADMIN_LISTEN": process.environment["REELGATE_STORAGE_ADMIN_LISTEN"],
    }
    process.start()
    async with process.client() as client:
        found = await sweep(client)
    assert (found.missing_count, found.deleted_count, found.scanned_count) == (0, 0, 0)
    assert process.rows("SELECT count(*) FROM objects WHERE missing_since IS NULL") == [(1,)]


async def test_a_row_that_looks_in_the_wrong_tier_is_put_right(
    make_storage: MakeStorage, s3: S3Access, source: Source
) -> None:
    """As when the backup was made before works moved from one tier to the other."""
    process = make_storage(s3, **IMPATIENT)
    await settled(process)
    with closing(Bucket(s3, process.prefix)) as bucket:
        async with process.client() as client:
            kept = await client.ingest(source.serve(video(2000)))
            process.rows(
                "UPDATE objects SET tier = 'local', key = substr(key, "
                f"{len(process.prefix) + 1}) RETURNING 1"
            )
            found = await sweep(client)
            assert (found.adopted_count, found.marked_count) == (1, 0)
            assert (await client.read(kept.id))[1] == video(2000)
            assert len(bucket.stored()) == 2
            assert process.rows("SELECT tier, generation_id IS NULL FROM objects") == [
                ("s3", False)
            ]


async def test_a_sweep_of_many_keys_goes_page_by_page(
    make_storage: MakeStorage, source: Source
) -> None:
    """More than a page of a tier, more than a page of rows without bytes; reports at least once a second."""
    process = make_storage(None, **IMPATIENT)
    async with process.client() as client:
        kept = await client.ingest(source.serve(video(64)))
        process.rows(
            "INSERT INTO objects (id, owner_id, run, media_index, tier, key, size_bytes, content_type, sha256) "
            "SELECT id, owner, 0, 0, 'local', owner || '/2025/01/02/' || id || '.mp4', 1, 'video/mp4', "
            "sha256('x') FROM (SELECT gen_random_uuid() AS id, gen_random_uuid() AS owner "
            "FROM generate_series(1, 6500)) AS made RETURNING 1"
        )
        rows = process.rows("SELECT key FROM objects WHERE size_bytes = 1 ORDER BY random()")
        there = [row[0] for row in rows[:4000]]
        for key in there:
            path = process.local_dir / key
            path.parent.mkdir(parents=True)
            path.write_bytes(b"x")
        before = process.rss()
        steps = await sweep_steps(client)
        assert process.rss() - before < 40 * MIB
        assert steps[-1].scanned_count == 6501
        assert steps[-1].missing_count == 2500
        assert steps[-1].adopted_count == steps[-1].marked_count == 0
        marked = {
            row[0] for row in process.rows("SELECT key FROM objects WHERE missing_since IS NULL")
        }
        assert len(marked) == 4001
        assert set(there) <= marked
        assert kept.id in str(marked)

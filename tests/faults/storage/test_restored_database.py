"""E10: yesterday's database is restored, then a sweep runs: nothing is removed, and what it forgot is adopted."""

import asyncio
import hashlib
from contextlib import closing
from typing import Any

from reelgate.common.v1 import media_pb2, run_pb2
from reelgate.storage.v1 import storage_pb2
from services.kernel.status import rpc_errors
from tests.conftest import S3Access
from tests.faults.campaign import PATIENT, Campaign, Trial
from tests.faults.report import Outcome
from tests.faults.storage.backup import Backup
from tests.faults.storage.conftest import MakeStorage
from tests.faults.storage.forked import ForkedStorage, Nursery
from tests.integration.storage.bucket import Bucket
from tests.integration.storage.conftest import source
from tests.integration.storage.ground import (
    IMPATIENT,
    KEPT_SECONDS,
    LocalGround,
    delete,
    settled,
    sweep,
)
from tests.integration.storage.harness import (
    MIB,
    Client,
    Source,
    StorageProcess,
    eventually,
    later,
    new_run,
    picture,
    video,
)

__all__ = ["source"]

pytestmark = PATIENT

RESTORED = Campaign(
    "Yesterday's database restored, then sweeps",
    "Not one key is removed, although garbage may go after a second; works that were kept since are adopted, and their "
    "generations find them again without another download.",
    trials=20,
    slice_trials=1,
    slice_seconds=30,
)

# What a day does to the rows of a backup.
_A_DAY_LATER = """
WITH transfers AS (UPDATE uploads SET alive_until = alive_until - interval '1 day'),
  removed AS (UPDATE removals SET gone_at = gone_at - interval '1 day', seen_gone_at = seen_gone_at - interval '1 day',
    created_at = created_at - interval '1 day'),
  marked AS (UPDATE orphans SET marked_at = marked_at - interval '1 day', seen_at = seen_at - interval '1 day')
UPDATE objects SET created_at = created_at - interval '1 day' RETURNING 1
"""


class Days:
    """A process with both tiers, and what it was given: runs and digests by object id."""

    def __init__(self, process: StorageProcess, client: Client, source: Source) -> None:
        self.process = process
        self.client = client
        self.source = source
        self.given: dict[str, tuple[run_pb2.Run, bytes]] = {}

    async def ingest(self, size: int, seed: int) -> storage_pb2.StoredObject:
        run, body = new_run(), video(size, seed=seed)
        kept = await self.client.ingest(self.source.serve(body), run=run)
        self.given[kept.id] = run, hashlib.sha256(body).digest()
        return kept

    async def under_way(self, size: int) -> "tuple[str, asyncio.Task[storage_pb2.StoredObject]]":
        """A transfer that stops before its end, with its key noted down."""
        run, body = new_run(), video(size, seed=9)
        url = self.source.serve(body, pause_at=size // 2, bytes_per_write=64 * 1024)
        work = asyncio.create_task(self.client.ingest(url, run=run))
        mine = f"generation_id = '{run.generation_id}' AND key IS NOT NULL"
        statement = f"SELECT object_id::text FROM uploads WHERE {mine}"
        await eventually(lambda: self.process.rows(statement) != [])
        [(object_id,)] = self.process.rows(statement)
        self.given[object_id] = run, hashlib.sha256(body).digest()
        return url, work

    async def forget(self, *object_ids: str) -> None:
        await delete(self.client, *object_ids)
        for one in object_ids:
            del self.given[one]

    async def move_to_disk(self, object_id: str) -> None:
        request = storage_pb2.MoveRequest(object_id=object_id, tier=storage_pb2.TIER_LOCAL)
        with rpc_errors():
            async for _ in self.client.stub.Move(request, metadata=self.client.user(role="admin")):
                pass


async def test_e10_a_restored_database_costs_no_work(
    make_storage: MakeStorage, s3: S3Access, source: Source
) -> None:
    with Nursery.open() as nursery:

        async def restored(trial: Trial) -> Outcome:
            process = make_storage(s3, **IMPATIENT)
            await settled(process)
            process.stop()
            process = ForkedStorage(nursery, process).start()
            try:
                with closing(Bucket(s3, process.prefix)) as bucket:
                    async with process.client() as client:
                        figures = await _two_days(trial, Days(process, client, source), bucket)
                return Outcome("nothing removed", figures)
            finally:
                process.kill()

        await RESTORED.run(restored)


async def _two_days(trial: Trial, days: Days, bucket: Bucket) -> dict[str, float]:
    chance, process = trial.chance, days.process
    ground = LocalGround(process.local_dir)
    old = [await days.ingest(chance.randint(50, 9000), n) for n in range(chance.randint(4, 9))]
    await days.forget(old[0].id)
    marked = await days.ingest(500, 50)
    [garbage] = [key for key in bucket.all_stored() if marked.id in key]
    await days.forget(marked.id)
    bucket.put(garbage, video(500))
    await sweep(days.client)
    slow, work = await days.under_way(12 * MIB)
    backup = Backup.of(process.database)

    # The day after.
    days.source.script(slow).go_on.set()
    await work
    new = [
        await days.ingest(chance.randint(50, 9000), 100 + n) for n in range(chance.randint(3, 9))
    ]
    new.append(await days.ingest(11 * MIB, 99))
    picture_id = await _reference_image(days.client)
    await days.move_to_disk(old[1].id)
    await days.move_to_disk(new[0].id)
    await days.forget(old[2].id, new[1].id)
    bucket.remove(garbage)

    process.stop()
    before = set(bucket.all_stored()), ground.keys()
    backup.restore(process.database)
    process.rows(_A_DAY_LATER)
    process.start()
    async with process.client(days.client.owner) as client:
        first = await sweep(client)
        for _ in range(2):
            await asyncio.sleep(KEPT_SECONDS)
            again = await sweep(client)
            assert (again.adopted_count, again.deleted_count, again.marked_count) == (0, 0, 0)
            assert again.missing_count == 1
        assert (set(bucket.all_stored()), ground.keys()) == before
        # All that was kept since, what was under way, the picture, and what has moved since.
        assert first.adopted_count == (len(new) - 1) + 1 + 1 + 1
        assert first.deleted_count == 0
        await client.read(picture_id)
        for object_id, (run, digest) in days.given.items():
            assert hashlib.sha256((await client.read(object_id))[1]).digest() == digest
            found = await client.ingest(f"{days.source.url}/nothing.mp4", run=later(run, 9))
            assert (found.id, found.generation_id) == (object_id, run.generation_id)
    return {"kept before": len(old), "kept since": len(new), "adopted": first.adopted_count}


async def _reference_image(client: Client) -> str:
    options: dict[str, Any] = {"media": media_pb2.MEDIA_TYPE_IMAGE, "metadata": client.user()}
    return (await client.upload(picture(400), **options)).id

"""E10: storage is killed when S3 has the bytes and the database has not: one sweep later everything adds up."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from uuid import UUID

import psycopg

from reelgate.common.v1 import run_pb2
from services.kernel.errors import ReelgateError
from services.storage.objects import Run, work_id
from tests.conftest import S3Access
from tests.faults.campaign import PATIENT, Campaign, Trial
from tests.faults.report import Outcome
from tests.faults.storage.bad_s3 import BadS3, well
from tests.faults.storage.conftest import MakeStorage
from tests.faults.storage.forked import ForkedStorage, Nursery
from tests.faults.storage.unheard import Unheard
from tests.integration.storage.bucket import Bucket
from tests.integration.storage.conftest import source
from tests.integration.storage.ground import settled, sweep
from tests.integration.storage.harness import (
    MIB,
    Client,
    Source,
    StorageProcess,
    eventually,
    new_run,
    video,
)

__all__ = ["source"]

pytestmark = PATIENT

# Longer than a commit is held back: who loses his slot while he waits has nothing to be killed over.
_LEASE_SECONDS = 5.0
_WAIT_SECONDS = 60.0
_LOOK_EVERY = 10
_HALF = 12 * MIB

KILLED = Campaign(
    "Storage killed between the last write and the commit",
    "After one sweep: no object without a row, no multipart upload, no live object gone, each with the bytes that were "
    "sent; nothing marked, nothing adopted.",
    trials=200,
    slice_trials=10,
    slice_seconds=45,
)


class Killed:
    """One process that is killed again and again, and what it has kept so far."""

    def __init__(
        self, process: ForkedStorage, proxy: BadS3, source: Source, bucket: Bucket
    ) -> None:
        self.process = process
        self._proxy = proxy
        self._source = source
        self._bucket = bucket
        self._kept: dict[str, bytes] = {}
        self._owner: UUID | None = None

    async def trial(self, trial: Trial) -> Outcome:
        """Keeps one, begins some, kills; then repeats a part of them, as the gateway does, and gives the others up."""
        chance = trial.chance
        sizes = [chance.choice((2000, 2000, 5 * MIB + 5)) for _ in range(chance.randint(1, 3))]
        bodies = {new_run().generation_id: video(size, seed=trial.number) for size in sizes}
        heard, half_way = chance.random() < 0.5, chance.random() < 0.3
        async with self.process.client(self._owner) as client:
            self._owner = client.owner
            await self._keep(client, new_run(), video(1000, seed=trial.number))
            lost = [self._half_way(client)] if half_way else []
            if half_way:
                await eventually(lambda: self._bucket.uploads() != [], _WAIT_SECONDS)
            begun = [self._begin(client, *one) for one in bodies.items()]
            await (self._kill_at_commit if heard else self._kill_unheard)(list(bodies))
            ended = await asyncio.gather(*lost, *begun, return_exceptions=True)
            assert all(isinstance(one, ReelgateError) for one in ended), ended
        await asyncio.to_thread(self.process.start)
        await self.well()
        repeated = [one for one in bodies.items() if chance.random() < 0.5]
        async with self.process.client(self._owner) as client:
            for generation_id, body in repeated:
                run = run_pb2.Run(generation_id=generation_id, lease_token=2)
                await self._keep(client, run, body)
        if trial.number % _LOOK_EVERY == _LOOK_EVERY - 1:
            await self.adds_up()
        said = "commit cut off" if heard else "answer of the last write not heard"
        return Outcome(said, {"transfers": len(bodies), "repeated": len(repeated)})

    async def well(self) -> None:
        """Waits until storage is at one with S3."""
        await eventually(
            lambda: 'tier_healthy{tier="s3"} 1.0' in self.process.metrics(), _WAIT_SECONDS
        )

    async def _keep(self, client: Client, run: run_pb2.Run, body: bytes) -> None:
        kept = await client.ingest(self._source.serve(body), run=run)
        self._kept[kept.id] = hashlib.sha256(body).digest()

    def _half_way(self, client: Client) -> "asyncio.Task[object]":
        url = self._source.serve(video(_HALF), pause_at=6 * MIB)
        return asyncio.create_task(client.ingest(url, run=new_run()))

    def _begin(self, client: Client, generation_id: str, body: bytes) -> "asyncio.Task[object]":
        """It stops in the middle of the source, until it is told to go on."""
        url = self._source.serve(body, pause_at=len(body) // 2, bytes_per_write=len(body) // 8)
        run = run_pb2.Run(generation_id=generation_id, lease_token=1)
        return asyncio.create_task(client.ingest(url, run=run))

    def _go_on(self) -> None:
        for script in self._source.scripts.values():
            if len(script.body) != _HALF:
                script.go_on.set()

    async def _kill_at_commit(self, generation_ids: Sequence[str]) -> None:
        """Storage knows that S3 has the bytes, and can not tell the database."""
        await self._all_begun(generation_ids)
        async with _locked(self.process, generation_ids):
            self._go_on()
            await self._all_stored(generation_ids)
            self.process.kill()

    async def _kill_unheard(self, generation_ids: Sequence[str]) -> None:
        """S3 has the bytes, and storage does not know."""
        unheard = Unheard()
        self._proxy.begin(unheard)
        await self._all_begun(generation_ids)
        self._go_on()
        await eventually(lambda: len(unheard.done) >= len(generation_ids), _WAIT_SECONDS)
        self.process.kill()
        await self._all_stored(generation_ids)
        self._proxy.begin(well)
        unheard.let_go()

    async def _all_begun(self, generation_ids: Sequence[str]) -> None:
        asked = "SELECT generation_id::text FROM uploads"
        wanted = {(one,) for one in generation_ids}
        await eventually(lambda: wanted <= set(self.process.rows(asked)), _WAIT_SECONDS)

    async def _all_stored(self, generation_ids: Sequence[str]) -> None:
        ids = [str(work_id(Run(UUID(one), 0, 1), 0)) for one in generation_ids]

        def stored() -> bool:
            keys = "".join(self._bucket.all_stored())
            return all(one in keys for one in ids)

        await eventually(stored, _WAIT_SECONDS)

    async def adds_up(self) -> None:
        """One sweep, with the ages of production, and a look at everything."""
        await asyncio.sleep(_LEASE_SECONDS + 1)
        async with self.process.client(self._owner) as client:
            found = await sweep(client)
            assert (found.adopted_count, found.missing_count) == (0, 0)
            assert (found.marked_count, found.deleted_count) == (0, 0)
            for object_id, digest in self._kept.items():
                assert hashlib.sha256((await client.read(object_id))[1]).digest() == digest
        rows = {row[0] for row in self.process.rows("SELECT key FROM objects")}
        assert {row[0] for row in self.process.rows("SELECT id::text FROM objects")} == set(
            self._kept
        )
        assert set(self._bucket.all_stored()) - {f"{self.process.prefix}.reelgate"} == rows
        assert self._bucket.uploads() == []
        assert self.process.rows("SELECT count(*) FROM uploads") == [(0,)]


@asynccontextmanager
async def _locked(process: StorageProcess, generation_ids: Sequence[str]) -> AsyncIterator[None]:
    """Nobody can commit for these runs; who was about to is cut off at the end: his statement would outlive him."""
    async with await psycopg.AsyncConnection.connect(process.database) as connection:
        await connection.execute(
            "SELECT 1 FROM runs WHERE generation_id = ANY(%s::uuid[]) FOR UPDATE",
            (list(generation_ids),),
        )
        yield
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )


async def test_e10_kills_between_the_last_write_and_the_commit_leave_nothing(
    make_storage: MakeStorage, s3: S3Access, source: Source
) -> None:
    async with BadS3.before(s3) as proxy:
        first = make_storage(
            proxy.access,
            REELGATE_STORAGE_TRANSFER_LEASE_SECONDS=str(_LEASE_SECONDS),
            REELGATE_STORAGE_LOCAL_ENABLED="false",
            REELGATE_STORAGE_THUMBNAILS="false",
        )
        await settled(first)
        first.kill()
        with closing(Bucket(s3, first.prefix)) as bucket, Nursery.open() as nursery:
            process = ForkedStorage(nursery, first)
            try:
                killed = Killed(process.start(), proxy, source, bucket)
                await killed.well()
                await KILLED.run(killed.trial, afterwards=killed.adds_up)
            finally:
                process.kill()

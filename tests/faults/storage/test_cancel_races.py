"""E5, E9: whenever a transfer is cancelled or its run tombstoned, no object, key, upload or file is left."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

from services.kernel.errors import FailedPrecondition, Unavailable
from tests.conftest import S3Access
from tests.faults.campaign import PATIENT, Campaign, Trial
from tests.faults.report import Outcome
from tests.faults.storage.aftermath import Aftermath, Rows, tombstoned
from tests.faults.storage.bad_s3 import BadS3
from tests.faults.storage.conftest import MakeStorage
from tests.faults.storage.race import Course, Courses, held, unhurried
from tests.faults.storage.wire import Wire
from tests.integration.storage.harness import MIB, Client, new_run, video

pytestmark = PATIENT

_LARGE, _SMALL = video(10 * MIB + 1000), video(2000)
_WAYS: Final = ("cancelled", "tombstoned", "cancelled and tombstoned")
_INTO_S3: Final = (
    "begin", "open", "body", "create", "part 1", "part 2", "part 3", "complete", "commit", "commit",
)  # fmt: skip
_SMALL_INTO_S3: Final = ("begin", "open", "body", "put", "commit", "commit")
_ONTO_DISK: Final = ("begin", "open", "body", "body", "commit")

RACES: Final = Campaign(
    "A cancel racing an ingest at every step",
    "No object, key, multipart upload, file or row of the transfer is left; a Tombstone answers only when the bytes "
    "are gone. The step is the one the transfer was at when it was hit.",
    trials=1000,
    slice_trials=80,
    slice_seconds=7,
)


@dataclass(frozen=True, slots=True)
class Lane:
    """A process, and the courses of what goes into its S3; None for the one with a disk only."""

    client: Client
    left: Aftermath
    courses: Courses | None


@asynccontextmanager
async def _lane(
    make_storage: MakeStorage, s3: S3Access | None, bad: BadS3 | None
) -> AsyncIterator[Lane]:
    process = await asyncio.to_thread(make_storage, bad and bad.access)
    async with process.client() as client, Aftermath.of(process, s3) as left:
        yield Lane(client, left, Courses(bad, random.Random(1)) if bad else None)
        assert "Traceback" not in process.log.read_text()


async def test_e5_e9_a_cancel_at_any_step_leaves_nothing(
    make_storage: MakeStorage, s3: S3Access, wire: Wire
) -> None:
    async with AsyncExitStack() as stack:
        bad = await stack.enter_async_context(BadS3.before(s3))
        lanes = [
            await stack.enter_async_context(_lane(make_storage, s3, bad)),
            await stack.enter_async_context(_lane(make_storage, None, None)),
        ]

        async def race(trial: Trial) -> Outcome:
            return await Race(trial, lanes[trial.number % 4 == 3], wire).run()

        async def nothing() -> None:
            for lane in lanes:
                await lane.left.nothing()

        await RACES.run(race, at_once=5, afterwards=nothing)


class Race:
    """One transfer, hit at a step that its number says."""

    def __init__(self, trial: Trial, lane: Lane, wire: Wire) -> None:
        self._chance = trial.chance
        self._lane = lane
        self._wire = wire
        self._client = lane.client.of(uuid4())
        self._run = new_run()
        self._course = lane.courses.of(self._client.owner) if lane.courses else Course()
        self._way = _WAYS[trial.number % len(_WAYS)]
        self._body = self._chance.choice((_LARGE, _LARGE, _SMALL))
        self._uploaded = self._chance.random() < 0.3
        steps = _SMALL_INTO_S3 if self._body is _SMALL else _INTO_S3
        self._target = self._chance.choice(steps if lane.courses else _ONTO_DISK)

    async def run(self) -> Outcome:
        async with AsyncExitStack() as stack:
            if self._target == "begin" and self._chance.random() < 0.5:
                await stack.enter_async_context(self._held())
            work = asyncio.ensure_future(self._transfer())
            if self._target == "commit" and self._chance.random() < 0.7:
                await self._course.reaches("open", work)
                await stack.enter_async_context(self._held())
            wanted = "body" if self._target == "commit" and not self._lane.courses else self._target
            await self._course.reaches(wanted, work)
            await asyncio.sleep(self._chance.uniform(0, 0.004 if wanted == "commit" else 0.012))
            hit = "answered" if work.done() else self._course.step
            ends = asyncio.ensure_future(self._end(work))
            await asyncio.sleep(self._chance.uniform(0, 0.03))
            await stack.aclose()  # whoever queued up for the run's row goes on, in whatever order
            outcome = await ends
        where = "S3" if self._lane.courses else "disk"
        return Outcome(f"{where}, at {hit}, {self._way}: {outcome}")

    def _held(self) -> Any:
        return held(self._client.process.database, self._run, self._client.owner)

    async def _transfer(self) -> Any:
        if self._uploaded:
            return await self._client.upload(self._body, run=self._run, between=self._between)
        play = unhurried(self._body, self._course, self._chance)
        url = self._wire.serve(play, str(self._client.owner))
        try:
            return await self._client.ingest(url, run=self._run)
        finally:
            self._wire.forget(url)

    async def _between(self, offset: int) -> None:
        if self._course.step == "begin":
            self._course.enter("open")
        elif self._course.step == "open":
            self._course.enter("body")
        if offset < MIB:
            await asyncio.sleep(self._chance.uniform(0, 0.01))

    async def _end(self, work: "asyncio.Future[Any]") -> str:
        if self._way != "tombstoned":
            work.cancel()
        kept = await self._settled() if self._way == "cancelled" else None
        deleted = await tombstoned(self._client, self._run)
        # The moment it answers, not some time later.
        assert await self._lane.left.rows(self._run.generation_id) == Rows(0, 0, 0)
        await self._no_bytes()
        assert kept is None or deleted in {kept, None}
        result: object = (await asyncio.gather(work, return_exceptions=True))[0]
        if self._way == "tombstoned":
            assert not isinstance(result, BaseException) or self._says_why(result), repr(result)
        await self._no_bytes()
        if deleted is None:
            return "deleted at the second call"
        return "kept, then deleted" if deleted else "not kept"

    def _says_why(self, error: BaseException) -> bool:
        if isinstance(error, FailedPrecondition):
            return error.reason == "TOMBSTONED"
        # Whoever is still sending may miss the answer; he asks again and gets it.
        return self._uploaded and isinstance(error, Unavailable)

    async def _settled(self) -> int:
        """How many objects there are when a cancelled transfer has ended: 1 when it came too late."""
        left, run = self._lane.left, self._run.generation_id
        deadline = asyncio.get_running_loop().time() + 30
        while (rows := await left.rows(run)) not in (Rows(0, 0, 0), Rows(1, 0, 0)):
            assert asyncio.get_running_loop().time() < deadline, rows
            await asyncio.sleep(0.05)
        if rows.objects:
            keys = await left.keys(f"{self._client.owner}/")
            assert len(keys) == 1
        else:
            await self._no_bytes()
        return rows.objects

    async def _no_bytes(self) -> None:
        assert await self._lane.left.keys(f"{self._client.owner}/") == []
        assert await self._lane.left.unfinished(str(self._client.owner)) == []

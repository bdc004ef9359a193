"""How far a transfer has come, as seen from outside: by its source, by S3, by whoever called."""

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID

import psycopg

from reelgate.common.v1 import run_pb2
from tests.faults.storage.bad_s3 import BadS3, Call, Deed, late
from tests.faults.storage.wire import Play, Request, answer

_BEHIND: Final = {"PutObject": "commit", "CompleteMultipartUpload": "commit"}
_DURING: Final = {
    "CreateMultipartUpload": "create",
    "PutObject": "put",
    "CompleteMultipartUpload": "complete",
    "UploadPart": "part",
}
_HOLD: Final = """
INSERT INTO runs (generation_id, run, owner_id, lease_token) VALUES (%(run)s, 0, %(owner)s, 0) ON CONFLICT DO NOTHING
"""


class Course:
    """The steps of one transfer: "begin", "open", "body", "create", "part 1"…, "complete", "commit"; or "put"."""

    def __init__(self) -> None:
        self.step = "begin"
        self._reached: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._reached["begin"].set()

    def enter(self, step: str) -> None:
        """It is there now."""
        self.step = step
        self._reached[step].set()

    async def reaches(self, step: str, unless: "asyncio.Future[Any]") -> None:
        """Returns when it came to this step, or to its end."""
        there = asyncio.ensure_future(self._reached[step].wait())
        either: set[asyncio.Future[Any]] = {there, unless}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED, timeout=30)
        there.cancel()


class Courses:
    """The courses of all transfers into one S3, told apart by their owners."""

    def __init__(self, s3: BadS3, chance: random.Random) -> None:
        self._known: dict[str, Course] = {}
        self._chance = chance
        s3.watch = self._see
        s3.begin(self._linger)

    def of(self, owner: UUID) -> Course:
        """A new one."""
        return self._known.setdefault(str(owner), Course())

    def _see(self, call: Call, what: str) -> None:
        course = next((one for owner, one in self._known.items() if owner in call.key), None)
        if course is None:
            return
        if what == "begun" and (step := _DURING.get(call.operation)):
            course.enter(f"part {call.part}" if step == "part" else step)
        elif what == "ended" and (step := _BEHIND.get(call.operation)):
            course.enter(step)

    def _linger(self, call: Call) -> Deed:
        return late(self._chance.uniform(0, 0.01))


def unhurried(body: bytes, course: Course, chance: random.Random) -> Play:
    """A source that takes its time before the head and in the middle of the body."""

    async def play(request: Request, writer: asyncio.StreamWriter) -> None:
        course.enter("open")
        await asyncio.sleep(chance.uniform(0, 0.02))
        whole = answer(body)
        half = len(whole) // 2
        writer.write(whole[:half])
        await writer.drain()
        if course.step == "open":
            course.enter("body")
        await asyncio.sleep(chance.uniform(0, 0.02))
        writer.write(whole[half:])
        await writer.drain()

    return play


@asynccontextmanager
async def held(database: str, run: run_pb2.Run, owner: UUID) -> AsyncIterator[None]:
    """Nobody can begin or commit for this run meanwhile: all queue up for its row."""
    async with await psycopg.AsyncConnection.connect(database) as connection:
        names = {"run": run.generation_id, "owner": owner}
        await connection.execute(_HOLD, names)
        statement = "SELECT 1 FROM runs WHERE generation_id = %(run)s FOR UPDATE"
        await connection.execute(statement, names)
        yield
        await connection.rollback()

"""D2, E5, E8: an S3 server that fails in any way costs a few requests and seconds, never a work, and is left clean."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from reelgate.common.v1 import run_pb2
from reelgate.storage.v1 import storage_pb2
from services.kernel.errors import ReelgateError
from tests.conftest import S3Access
from tests.faults.campaign import PATIENT, Campaign, Trial
from tests.faults.report import Outcome
from tests.faults.storage.aftermath import Aftermath, Rows, tombstoned
from tests.faults.storage.bad_s3 import BadS3, well
from tests.faults.storage.conftest import MakeStorage
from tests.faults.storage.cuts import Framed, cut_off
from tests.faults.storage.s3_faults import CASES, LARGE_BYTES, LOCAL, S3, SMALL_BYTES, Case
from tests.faults.storage.wire import Wire, answer, saying
from tests.integration.storage.harness import Client, StorageProcess, new_run, video

pytestmark = PATIENT

_BODIES = {size: video(size) for size in (SMALL_BYTES, LARGE_BYTES)}
_CLEAN_SECONDS = 40.0
_MOST_REQUESTS = 40

BAD_S3 = Campaign(
    "S3 that fails in every way",
    "The work is kept in the next tier after a bounded number of requests, byte for byte; after S3 is back nothing is "
    "left there of what failed. Figures: seconds until kept, requests made until then, writes among them, seconds from "
    "S3's return until it was clean.",
    trials=4 * len(CASES),
    slice_trials=14,
    slice_seconds=14,
)


@dataclass(frozen=True, slots=True)
class Lane:
    """A storage process whose S3 can be spoiled without disturbing others."""

    s3: BadS3
    client: Client
    left: Aftermath

    @classmethod
    @asynccontextmanager
    async def made(cls, bad: BadS3, process: StorageProcess, s3: S3Access) -> AsyncIterator["Lane"]:
        async with process.client() as client, Aftermath.of(process, s3) as left:
            yield cls(bad, client, left)
            assert "Traceback" not in process.log.read_text()

    async def well(self) -> None:
        """Returns when the process trusts its S3."""
        deadline = time.monotonic() + 30
        while True:
            call = self.client.stub.GetStatus(storage_pb2.GetStatusRequest())
            if (await call).s3_healthy:
                return
            assert time.monotonic() < deadline, "S3 was never trusted again"
            await asyncio.sleep(0.1)


async def test_d2_e5_a_bad_s3_costs_no_work_and_is_left_clean(
    make_storage: MakeStorage, s3: S3Access, wire: Wire
) -> None:
    async with AsyncExitStack() as stack:
        lanes: asyncio.Queue[Lane] = asyncio.Queue()
        bads = [await stack.enter_async_context(BadS3.before(s3)) for _ in range(3)]
        starts = (asyncio.to_thread(make_storage, bad.access) for bad in bads)
        for bad, process in zip(bads, await asyncio.gather(*starts), strict=True):
            lanes.put_nowait(await stack.enter_async_context(Lane.made(bad, process, s3)))

        async def suffer(trial: Trial) -> Outcome:
            lane = await lanes.get()
            try:
                return await _suffered(CASES[trial.number % len(CASES)], trial, lane, wire)
            finally:
                lane.s3.begin(well)
                lanes.put_nowait(lane)

        await BAD_S3.run(suffer, at_once=lanes.qsize())


async def _suffered(case: Case, trial: Trial, lane: Lane, wire: Wire) -> Outcome:
    await lane.well()
    client = lane.client.of(uuid4())
    run, body = new_run(), _BODIES[case.size]
    lane.s3.begin(case.fault())
    if case.down:
        await lane.s3.go_down()
    begin = time.perf_counter()
    try:
        how, where, kept = await _brought(case, trial, client, run, wire)
    finally:
        seconds, made = time.perf_counter() - begin, lane.s3.made.copy()
        if case.down:
            await lane.s3.go_up()
    assert where == case.kept, f"{case.name}, {how}: {where}"
    assert seconds < case.seconds, f"{case.name}, {how}: {seconds:.1f} s"
    assert made.total() <= _MOST_REQUESTS, f"{case.name}, {how}: {made}"
    lane.s3.begin(well)
    back = time.perf_counter()
    await _clean(lane.left, client, run, 1 if kept else 0)
    clean_after = time.perf_counter() - back
    if kept is not None:
        assert kept.sha256 == hashlib.sha256(body).digest()
        assert (await client.read(kept.id))[1] == body
        assert await tombstoned(client, run) in {1, None}
    assert await lane.left.keys(f"{client.owner}/") == []
    writes = made["UploadPart"] + made["PutObject"] + made["CompleteMultipartUpload"]
    figures = {"seconds": seconds, "requests": made.total(), "writes": writes}
    return Outcome(f"{case.name} → {where}", {**figures, "clean after s": clean_after})


async def _brought(
    case: Case, trial: Trial, client: Client, run: run_pb2.Run, wire: Wire
) -> tuple[str, str, Any]:
    """How the work was brought, where it went, and the object if there is one."""
    body = _BODIES[case.size]
    play = saying(answer(body))
    if case.cut:
        play = cut_off(Framed.by_length(body).wire[:-1000], rst=False)
    by_upload = not case.cut and trial.chance.random() < 0.5
    how = "uploaded" if by_upload else "fetched"
    url = wire.serve(play, f"{trial.number}-{uuid4().hex}")
    try:
        kept = await (client.upload(body, run=run) if by_upload else client.ingest(url, run=run))
    except ReelgateError as error:
        return how, error.reason, None
    finally:
        wire.forget(url)
    return how, {storage_pb2.TIER_S3: S3, storage_pb2.TIER_LOCAL: LOCAL}[kept.tier], kept


async def _clean(left: Aftermath, client: Client, run: run_pb2.Run, objects: int) -> None:
    """Returns when nothing is there but the object."""
    deadline = time.monotonic() + _CLEAN_SECONDS
    while True:
        rows = await left.rows(run.generation_id)
        keys = await left.keys(f"{client.owner}/")
        unfinished = await left.unfinished(str(client.owner))
        if (rows, len(keys), unfinished) == (Rows(objects, 0, 0), objects, []):
            return
        assert time.monotonic() < deadline, (rows, keys, unfinished)
        await asyncio.sleep(0.1)

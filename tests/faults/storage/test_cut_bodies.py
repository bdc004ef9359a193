"""E5: a body cut at a random byte is never marked complete, and nothing of it is left."""

import hashlib

import pytest

from services.kernel.errors import Aborted, InvalidArgument
from tests.conftest import S3Access
from tests.faults.campaign import PATIENT, Campaign, Trial
from tests.faults.report import Outcome
from tests.faults.storage.aftermath import Aftermath, Rows, tombstoned
from tests.faults.storage.conftest import MakeStorage
from tests.faults.storage.cuts import PLACES, Framed, cut_off
from tests.faults.storage.resumes import CAN_RESUME, SECONDS, VALIDATORS, Versions, broken_off
from tests.faults.storage.wire import Wire
from tests.integration.storage.harness import MIB, new_run, video

pytestmark = PATIENT

_BYTES, _OTHERS = video(12 * MIB), video(12 * MIB, seed=1)

CUT = Campaign(
    "Bodies cut at a random byte",
    "None is marked complete: SOURCE_FAILED, no object, no multipart upload, no row of the transfer.",
    trials=1000,
    slice_trials=84,
    slice_seconds=6,
)

RESUMED = Campaign(
    "Bodies cut at a random byte, of sources that can go on",
    "Where the source names its version and goes on from the byte that was asked for, the work is kept, byte for byte; "
    "two versions are never mixed; all others are SOURCE_FAILED and leave nothing.",
    trials=648,
    slice_trials=60,
    slice_seconds=5,
)


def size_of(trial: Trial, *, large: bool = False) -> int:
    """Most are small and quick, every fourth is cut in one of its parts."""
    if large or trial.number % 4 == 0:
        return trial.chance.randint(5 * MIB + 1, len(_BYTES))
    return trial.chance.choice((trial.chance.randint(13, 100), trial.chance.randint(100, 300_000)))


async def test_e5_a_body_cut_at_a_random_byte_is_never_kept(
    make_storage: MakeStorage, s3: S3Access, wire: Wire
) -> None:
    process = make_storage(s3)
    async with process.client() as client, Aftermath.of(process, s3) as left:

        async def cut(trial: Trial) -> Outcome:
            chance = trial.chance
            place = PLACES[trial.number % len(PLACES)]
            body = _BYTES[: size_of(trial, large=place == "at a part border")]
            in_chunks, rst = chance.random() < 0.5, chance.random() < 0.5
            framed = Framed.in_chunks(body, chance) if in_chunks else Framed.by_length(body)
            where, sent = framed.cut(place, chance)
            run = new_run()
            url = wire.serve(cut_off(sent, rst=rst), trial.seed)
            with pytest.raises(Aborted) as caught:
                await client.ingest(url, run=run)
            assert caught.value.reason == "SOURCE_FAILED"
            assert await left.rows(run.generation_id) == Rows(0, 0, 0)
            wire.forget(url)
            framing, end = ("length", "chunked")[in_chunks], ("FIN", "RST")[rst]
            return Outcome(f"{framing}, cut {where}, {end}: {caught.value.metadata['kind']}")

        await CUT.run(cut, at_once=6, afterwards=left.nothing)


async def test_e5_a_body_taken_up_again_is_one_version_or_none(
    make_storage: MakeStorage, s3: S3Access, wire: Wire
) -> None:
    process = make_storage(s3)
    async with process.client() as client, Aftermath.of(process, s3) as left:

        async def resume(trial: Trial) -> Outcome:
            chance = trial.chance
            named = list(VALIDATORS)[trial.number % len(VALIDATORS)]
            second = list(SECONDS)[trial.number // len(VALIDATORS) % len(SECONDS)]
            size = size_of(trial)
            versions = Versions(_BYTES[:size], _OTHERS[:size], VALIDATORS[named])
            cut = chance.randrange(1, size)
            play = broken_off(versions, cut, second, chance, rst=chance.random() < 0.5)
            refused = second == "sends away" and named in CAN_RESUME
            run = new_run()
            url = wire.serve(play, trial.seed)
            try:
                kept = await client.ingest(url, run=run)
            except (Aborted, InvalidArgument) as error:
                assert error.reason == ("SOURCE_REFUSED" if refused else "SOURCE_FAILED")
                assert await left.rows(run.generation_id) == Rows(0, 0, 0)
                what = error.reason
            else:
                assert kept.sha256 == hashlib.sha256(versions.first).digest(), "versions were mixed"
                assert (await client.read(kept.id))[1] == versions.first
                assert await tombstoned(client, run) in {1, None}
                what = "KEPT"
            finally:
                wire.forget(url)
            can = named in CAN_RESUME and second in {"goes on", "goes on, cut again"}
            assert (what == "KEPT") == can, f"{named}, {second}: {what}"
            return Outcome(f"{second}, named by {named}: {what}" if can else f"{second}: {what}")

        await RESUMED.run(resume, at_once=12, afterwards=left.nothing)

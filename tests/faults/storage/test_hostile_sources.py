"""E5: whatever a source does, the caller is told precisely why it was given up, soon, and nothing of it is left."""

import time
from pathlib import Path

import psutil

from services.kernel.errors import ReelgateError
from tests.conftest import S3Access
from tests.faults.campaign import PATIENT, Campaign, Trial
from tests.faults.report import Outcome
from tests.faults.storage.aftermath import Aftermath, Rows, tombstoned
from tests.faults.storage.conftest import MakeStorage
from tests.faults.storage.hostile import CASES, KEPT, LARGE, MOVIE, Case, Elsewhere
from tests.faults.storage.wire import Wire
from tests.integration.storage.harness import Client, eventually, new_run
from tests.unit.kernel.egress_servers import self_signed

pytestmark = PATIENT

# Long enough that a busy machine is not taken for a source that hangs.
_IDLE_SECONDS, _TOTAL_SECONDS = 4.0, 10.0
_SOON_SECONDS = 30.0  # on a busy machine

HOSTILE = Campaign(
    "Sources that hang, lie, never end or lead astray",
    "Each is told apart by its reason, soon; nothing is stored, no multipart upload is left, no connection stays open.",
    trials=3 * len(CASES),
    slice_trials=len(CASES),
    slice_seconds=15,
)


async def test_e5_a_hostile_source_is_told_apart_and_leaves_nothing(
    make_storage: MakeStorage, s3: S3Access, wire: Wire, tmp_path: Path
) -> None:
    server_tls, _ = self_signed(tmp_path, "localhost")
    process = make_storage(
        s3,
        REELGATE_STORAGE_SOURCE_IDLE_SECONDS=str(_IDLE_SECONDS),
        REELGATE_STORAGE_SOURCE_TOTAL_SECONDS=str(_TOTAL_SECONDS),
        SSL_CERT_FILE=str(tmp_path / "server.pem"),
    )
    async with (
        Wire.running() as inside,
        Wire.running(server_tls) as secure,
        process.client() as client,
        Aftermath.of(process, s3) as left,
    ):
        elsewhere = Elsewhere(inside.url, wire.url, secure.url)

        async def give_up(trial: Trial) -> Outcome:
            case = CASES[trial.number % len(CASES)]
            begin = time.perf_counter()
            said = await _ingested(client, case, elsewhere, secure if case.secure else wire, left)
            seconds = time.perf_counter() - begin
            reason, _, hint = case.said.partition(" ")
            assert said.startswith(reason), f"{case.name}: {said}"
            assert hint in said, f"{case.name}: {said}"
            assert seconds < _SOON_SECONDS, case.name
            assert inside.requests == []
            return Outcome(f"{case.name} → {said}", {"seconds": round(seconds, 1)})

        before = psutil.Process(process.pid).num_fds()
        await HOSTILE.run(give_up, at_once=24, afterwards=left.nothing)
        await eventually(lambda: psutil.Process(process.pid).num_fds() <= before + 40, 20)
    assert "Traceback" not in process.log.read_text()


async def _ingested(
    client: Client, case: Case, elsewhere: Elsewhere, wire: Wire, left: Aftermath
) -> str:
    """What came of it: KEPT, or the reason and its most telling word."""
    url = wire.serve(case.play(elsewhere))
    if case.secure:
        url = url.replace("127.0.0.1", "localhost")  # as the certificate has it
    if case.url:
        url = elsewhere.named(case.url)
    run = new_run()
    trusted = not url.startswith("http://nowhere")
    try:
        kept = await client.ingest(url, run=run, **{"trusted": trusted, **case.options})
    except ReelgateError as error:
        assert await left.rows(run.generation_id) == Rows(0, 0, 0)
        found = error.metadata
        word = found.get("kind") or found.get("rule") or found.get("status") or error.message
        return f"{error.reason} {word}"
    _, body = await client.read(kept.id)
    assert body in (MOVIE, LARGE), f"{case.name}: {len(body)} bytes were kept"
    await tombstoned(client, run)
    return KEPT

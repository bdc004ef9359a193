"""The life of a process: signals, the admin port, logs, and work in the background."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from deploy.local import ports
from services.kernel.runtime import Runtime, background

ROOT = Path(__file__).parents[3]

# What a service's __main__ does; `MODE` says what goes wrong.
PROGRAM = """
import asyncio, logging, os, sys
import structlog
from pydantic import SecretStr
from services.kernel import context, metrics
from services.kernel.errors import Unavailable
from services.kernel.runtime import Runtime, background, run

MODE, ADMIN = sys.argv[1:]
log = structlog.get_logger()

async def worker():
    if MODE == "worker_fails":
        await asyncio.sleep(0.05)
        raise LookupError("no such worker")
    try:
        await asyncio.Event().wait()
    finally:
        log.info("worker_ended")

async def main(rt: Runtime) -> None:
    if MODE == "never_ready":
        log.info("starting")
        await asyncio.Event().wait()
    if MODE == "unavailable":
        raise Unavailable("the database can not be reached")
    if MODE == "bug":
        raise LookupError("a bug")
    async with background() as work:
        work.start(worker())
        context.request_id.set("r-7")
        log.info("told", secret=SecretStr("hunter2"), text="zwei\\nZeilen 好")
        logging.getLogger("somebody.else").warning("also %s", "this")
        try:
            raise ValueError("odd")
        except ValueError:
            log.exception("failed")
        context.request_id.set("")
        await rt.ready_until_stopped()
        if MODE == "slow_drain":
            await asyncio.sleep(60)
        log.info("drained")

run("probe", main, admin_listen=ADMIN, log_level="info", log_format="json")
"""


class Process:
    """A running service, its log, and its admin port."""

    def __init__(self, mode: str, directory: Path, admin: str) -> None:
        directory.mkdir(exist_ok=True)
        self.admin = admin
        self._log = directory / "log"
        script = directory / "probe.py"
        script.write_text(PROGRAM)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, str(script), mode, self.admin],
                stderr=log,
                stdout=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )

    def lines(self) -> list[dict[str, str]]:
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    def events(self) -> list[str]:
        return [line["event"] for line in self.lines()]

    def wait_for(self, event: str) -> None:
        end = time.monotonic() + 20
        while event not in self.events():
            assert time.monotonic() < end, self._log.read_text()
            assert self._process.poll() is None, self._log.read_text()
            time.sleep(0.02)

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def exit_code(self) -> int:
        return self._process.wait(20)

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://{self.admin}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def end(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()


@contextmanager
def started(mode: str, directory: Path, admin: str | None = None) -> Iterator[Process]:
    process = Process(mode, directory, admin or f"127.0.0.1:{ports.choose()}")
    try:
        yield process
    finally:
        process.end()


def test_sigterm_drains_the_service_ends_its_work_and_exits_with_0(tmp_path: Path) -> None:
    with started("good", tmp_path) as service:
        service.wait_for("ready")
        service.signal(signal.SIGTERM)
        assert service.exit_code() == 0
        assert service.events()[-3:] == ["draining", "drained", "worker_ended"]


def test_the_admin_port_tells_health_readiness_and_metrics_until_a_second_signal_ends_it(
    tmp_path: Path,
) -> None:
    with started("slow_drain", tmp_path) as service:
        service.wait_for("ready")
        assert service.get("/healthz") == (200, '{"status": "healthy"}')
        assert service.get("/readyz") == (200, '{"status": "ready"}')
        status, metrics = service.get("/metrics")
        assert status == 200
        assert "# TYPE reelgate_rpc_served_seconds histogram" in metrics
        assert "process_resident_memory_bytes" in metrics
        assert service.get("/other")[0] == 404

        service.signal(signal.SIGTERM)
        service.wait_for("draining")
        assert service.get("/healthz")[0] == 200
        assert service.get("/readyz") == (503, '{"status": "not_ready"}')
        service.signal(signal.SIGTERM)
        assert service.exit_code() == 1
        assert service.events()[-1] == "ended_at_once"


def test_a_signal_while_it_starts_ends_it_though_it_never_gets_ready(tmp_path: Path) -> None:
    with started("never_ready", tmp_path) as service:
        service.wait_for("starting")
        assert service.get("/healthz")[0] == 200
        assert service.get("/readyz")[0] == 503
        service.signal(signal.SIGTERM)
        assert service.exit_code() == 0


def test_what_an_operator_can_mend_is_one_line_and_a_bug_has_its_trace(tmp_path: Path) -> None:
    modes = ("unavailable", "bug", "worker_fails")
    with ExitStack() as stack:
        services = [stack.enter_context(started(mode, tmp_path / mode)) for mode in modes]
        assert [service.exit_code() for service in services] == [1, 1, 1]
        unavailable, bug, worker_failed = (service.lines()[-1] for service in services)
    assert (unavailable["event"], unavailable["level"]) == ("stopped", "critical")
    assert unavailable["error"] == "the database can not be reached"
    assert "exception" not in unavailable
    assert bug["level"] == "error"
    assert "LookupError: a bug" in bug["exception"]
    # A service whose work has failed does not go on without it.
    assert "LookupError: no such worker" in worker_failed["exception"]


def test_a_port_that_is_taken_is_one_line_in_the_log(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        admin = f"127.0.0.1:{taken.getsockname()[1]}"
        with started("good", tmp_path, admin=admin) as service:
            assert service.exit_code() == 1
            (line,) = service.lines()
    assert line["event"] == "stopped"
    assert "address already in use" in line["error"]


def test_a_log_line_is_json_with_its_origin_and_no_secret_to_the_end_by_sigint(
    tmp_path: Path,
) -> None:
    with started("good", tmp_path) as service:
        service.wait_for("ready")
        service.signal(signal.SIGINT)
        assert service.exit_code() == 0
        told, also, failed, ready, *_ = service.lines()
    assert told["text"] == "zwei\nZeilen 好"
    assert (told["service"], told["level"], told["request_id"]) == ("probe", "info", "r-7")
    assert told["timestamp"].endswith("Z")
    assert "hunter2" not in json.dumps(told)
    assert (also["event"], also["level"]) == ("also this", "warning")
    assert (also["logger"], also["request_id"]) == ("somebody.else", "r-7")
    assert failed["exception"].startswith("Traceback")
    assert failed["exception"].endswith("ValueError: odd")
    assert "request_id" not in ready


async def test_background_work_runs_beside_the_block_and_is_cancelled_at_its_end() -> None:
    steps: list[str] = []

    async def work() -> None:
        steps.append("began")
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)  # it is waited for
            steps.append("ended")

    async with background() as group:
        tasks = [group.start(work()), group.start(work())]
        await asyncio.sleep(0)
        assert steps == ["began", "began"]
    assert steps == ["began", "began", "ended", "ended"]
    assert all(task.cancelled() for task in tasks)


async def test_background_work_that_is_done_is_no_reason_to_end() -> None:
    async with background() as group:
        done = group.start(asyncio.sleep(0))
        await asyncio.wait([done])
        await asyncio.sleep(0)
    async with background():
        pass


async def test_the_block_ends_with_the_error_of_its_work_and_the_rest_is_cancelled() -> None:
    ended = asyncio.Event()

    async def fail() -> None:
        raise LookupError("work")

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def serve() -> None:
        async with background() as group:
            group.start(wait())
            group.start(fail())
            await asyncio.Event().wait()

    with pytest.raises(LookupError, match="work"):
        await serve()
    assert ended.is_set()


async def test_the_blocks_own_error_comes_out_as_itself() -> None:
    error = LookupError("block")

    async def serve() -> None:
        async with background() as group:
            group.start(asyncio.sleep(60))
            raise error

    with pytest.raises(LookupError) as caught:
        await serve()
    assert caught.value is error


async def test_several_errors_come_out_together() -> None:
    async def fail(error: Exception) -> None:
        raise error

    async def serve() -> None:
        async with background() as group:
            group.start(fail(LookupError()))
            group.start(fail(OSError()))
            await asyncio.sleep(60)

    with pytest.raises(ExceptionGroup) as caught:
        await serve()
    assert {type(error) for error in caught.value.exceptions} == {LookupError, OSError}


async def test_cancelling_the_block_cancels_its_work() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def serve() -> None:
        async with background() as group:
            group.start(wait())
            await asyncio.Event().wait()

    task = asyncio.create_task(serve())
    await began.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert ended.is_set()


async def test_a_runtime_is_ready_between_the_start_and_the_stop() -> None:
    runtime = Runtime()
    ready = [runtime.is_ready]
    waiting = asyncio.create_task(runtime.ready_until_stopped())
    await asyncio.sleep(0)
    ready.append(runtime.is_ready)
    runtime.stop()
    runtime.stop()
    ready.append(runtime.is_ready)
    await waiting
    assert ready == [False, True, False]

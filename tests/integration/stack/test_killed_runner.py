"""However the runner of the stack ends, no process of it is left (issue: local stack)."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local import lock
from tests.integration.stack.tiny import alive, family, until


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.integration.stack.runner", str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        # A shell's background job ignores SIGINT, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 - no threads
    )
    yield process
    process.kill()
    process.communicate()


def _everything_of(runner: subprocess.Popen[str]) -> list[int]:
    assert runner.stdout is not None
    pids = [int(word) for word in runner.stdout.readline().split()]
    # PostgreSQL with its helpers, S3, the program and its child, and the watchdog.
    assert len(alive(pids)) >= 6
    return [*pids, *family(runner.pid)]


def test_kill_9_of_the_runner_leaves_no_process_behind(
    runner: subprocess.Popen[str], tmp_path: Path
) -> None:
    everything = _everything_of(runner)
    runner.kill()
    runner.wait()
    until(lambda: not alive(everything))
    assert not (tmp_path / "postgres" / "data" / "postmaster.pid").exists(), "an unclean shutdown"


def test_kill_9_of_the_runner_and_of_its_watchdog_leaves_only_what_hid_from_the_kernel(
    runner: subprocess.Popen[str], tmp_path: Path
) -> None:
    everything = _everything_of(runner)
    grandchild = int((tmp_path / "parent").read_text())
    watchdog = next(pid for pid in family(runner.pid) if "watchdog" in _command(pid))
    os.kill(watchdog, signal.SIGKILL)
    runner.kill()
    runner.wait()
    until(lambda: set(alive(everything)) <= {grandchild})
    os.kill(grandchild, signal.SIGKILL)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_everything(runner: subprocess.Popen[str], sent: signal.Signals) -> None:
    everything = _everything_of(runner)
    runner.send_signal(sent)
    runner.wait(60)
    until(lambda: not alive(everything))


def test_the_home_of_a_killed_runner_is_free_again_when_all_is_clean(
    runner: subprocess.Popen[str], tmp_path: Path
) -> None:
    everything = _everything_of(runner)
    runner.kill()
    runner.wait()
    with lock.exclusive(tmp_path):
        assert not alive(everything)


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")

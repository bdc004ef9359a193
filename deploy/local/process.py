"""A program to run and the process it becomes: spawn it, look at it, end it with all it started."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_CHILD = Path(__file__).with_name("child.py")
_POLL_SECONDS = 0.02
Probe = Callable[[], bool]


class StartError(Exception):
    """The stack, or a part of it, cannot run; the message is for the person at the terminal."""


@dataclass(frozen=True, slots=True)
class Account:
    """The unprivileged user that a process runs as when the stack was started by root."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Program:
    """Everything needed to start one process, and to know that it is ready.

    ``probe`` answers within about a second and never raises. ``death_signal`` is what the kernel sends
    when the runner dies; ``stop_seconds`` is how long ``stop_signal`` may take before SIGKILL follows.
    """

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    log: Path
    probe: Probe
    directory: Path | None = None
    account: Account | None = None
    death_signal: signal.Signals = signal.SIGKILL
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 25.0
    after: frozenset[str] = frozenset()


def command(
    argv: tuple[str, ...], account: Account | None, death_signal: signal.Signals
) -> list[str]:
    """The command line that runs ``argv`` tied to this process (see child.py)."""
    uid, gid = (str(account.uid), str(account.gid)) if account else ("-", "-")
    tie = [str(os.getpid()), str(int(death_signal)), uid, gid]
    return [sys.executable, "-I", "-S", str(_CHILD), *tie, *argv]


def spawn(program: Program) -> subprocess.Popen[bytes]:
    """Start the program in a session and process group of its own, its output appended to its log.

    Call it from the main thread: the kernel's parent-death signal fires when the *thread* that forked ends.
    """
    program.log.parent.mkdir(parents=True, exist_ok=True)
    with program.log.open("ab") as log:
        return subprocess.Popen(
            command(program.argv, program.account, program.death_signal),
            env=dict(program.environment),
            cwd=program.directory,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def kill_group(group: int, sent: signal.Signals = signal.SIGKILL) -> None:
    """Signal every process of a group; none left is fine."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, sent)


def last_lines(log: Path, count: int = 12) -> list[str]:
    """The last lines of a log, empty ones left out; none when there is no log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 16_384))
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return []
    return [line for line in text.splitlines() if line.strip()][-count:]


@contextmanager
def running(program: Program, *, within_seconds: float = 30.0) -> Iterator[subprocess.Popen[bytes]]:
    """Run one program for the length of a with block, without supervision (fixtures, tools).

    Raises StartError when it ends or is not ready in time.
    """
    process = spawn(program)
    try:
        deadline = time.monotonic() + within_seconds
        while not program.probe():
            if process.poll() is not None or time.monotonic() > deadline:
                tail = "\n".join(last_lines(program.log))
                raise StartError(f"{program.name} did not become ready:\n{tail}")
            time.sleep(_POLL_SECONDS)
        yield process
    finally:
        process.send_signal(program.stop_signal)
        with suppress(subprocess.TimeoutExpired):
            process.wait(program.stop_seconds)
        kill_group(process.pid)
        process.wait()

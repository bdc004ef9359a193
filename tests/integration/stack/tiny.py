"""Small real programs to supervise, and a look at what runs on the machine."""

import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

from deploy.local.process import Program

# Starts a child of its own, says so, and waits.
_PARENT = """
import pathlib, signal, subprocess, sys, time
if sys.argv[2] == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path(sys.argv[1]).write_text(str(child.pid))
time.sleep(600)
"""


def parent(directory: Path, name: str = "parent", *, stubborn: bool = False) -> Program:
    """A program with a child, ready when ``directory``/name holds the child's number."""
    started = directory / name
    return _python(
        directory,
        name,
        [_PARENT, str(started), "stubborn" if stubborn else "-"],
        lambda: started.exists() and started.read_text() != "",
    )


def failing(directory: Path, code: int = 1, name: str = "failing") -> Program:
    """A program that ends at once, with a word on its standard error."""
    script = f"import sys; print('no luck', file=sys.stderr); sys.exit({code})"
    return _python(directory, name, [script], lambda: False)


def _python(directory: Path, name: str, arguments: list[str], probe: Callable[[], bool]) -> Program:
    return Program(
        name=name,
        argv=(sys.executable, "-c", *arguments),
        environment={},
        log=directory / "logs" / f"{name}.log",
        probe=probe,
        stop_seconds=1.0,
    )


def alive(pids: Iterable[int]) -> list[int]:
    """Those of these processes that run; one that only waits to be collected does not."""
    return [pid for pid in pids if _runs(pid)]


def _runs(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    process = psutil.Process(pid)
    return [pid, *(child.pid for child in process.children(recursive=True))]


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait, blocking, for something to come true. Raises AssertionError when it does not."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)

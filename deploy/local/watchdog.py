"""What ends the children when the runner itself was killed: a process that outlives it by a moment.

The runner tells it, through a pipe, of every child (``+PID SIGNAL`` and ``-PID``, a line each). The pipe
ends when the runner is gone, however it went; then each remaining child gets its signal, and its whole
process group SIGKILL when that did not help. Meanwhile it keeps the runner's lock on the home directory
open, so a new runner waits until all is clean. On Linux the kernel has told the children already
(child.py); their own children, and other systems, need this. Run as a script: only the standard library
is at hand.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

_GRACE_SECONDS = 10.0
_POLL_SECONDS = 0.05


class Watchdog:
    """The runner's end of the pipe."""

    def __init__(self, lock: int) -> None:
        """``lock`` is the descriptor of the locked file that is kept open until all children are gone."""
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=(lock,),
            start_new_session=True,
        )

    def add(self, group: int, death_signal: signal.Signals) -> None:
        """A child, leader of its process group, has begun."""
        self._tell(f"+{group} {int(death_signal)}")

    def remove(self, group: int) -> None:
        """A child has ended with its group."""
        self._tell(f"-{group}")

    def close(self) -> None:
        """All children have ended; returns when the watchdog has too."""
        assert self._process.stdin is not None  # noqa: S101 - it was opened above
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None  # noqa: S101 - as above
        # Somebody killed the watchdog: the kernel's death signal still does most of its work.
        with suppress(BrokenPipeError):
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()


def main() -> None:
    """Read until the runner is gone, then end what it left."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    groups: dict[int, int] = {}
    for line in sys.stdin:
        if line.startswith("+"):
            group, death_signal = line[1:].split()
            groups[int(group)] = int(death_signal)
        else:
            groups.pop(int(line[1:]), None)
    for group, death_signal in groups.items():
        # Anything but SIGKILL asks the leader to end its own children, which needs them alive.
        _send(group, death_signal, whole=death_signal == signal.SIGKILL)
    deadline = time.monotonic() + _GRACE_SECONDS
    while any(_lives(group) for group in groups) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    for group in groups:
        _send(group, signal.SIGKILL, whole=True)


def _send(group: int, sent: int, *, whole: bool) -> None:
    with suppress(ProcessLookupError, PermissionError):
        if whole:
            os.killpg(group, sent)
        else:
            os.kill(group, sent)


def _lives(group: int) -> bool:
    """Whether a process of the group still runs; one that only waits to be collected does not count."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    with suppress(OSError, IndexError):
        # "pid (name) state …": the leader is dead but nobody collects it, as in a container without init.
        return Path(f"/proc/{group}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return True


if __name__ == "__main__":
    main()

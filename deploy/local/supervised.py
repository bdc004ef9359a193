"""One program that is kept running: begun again when it dies, kept down while it is held."""

import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from deploy.local.process import Program, kill_group, last_lines, spawn
from deploy.local.watchdog import Watchdog

_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0
_STEADY_SECONDS = 10.0
_LINES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a supervised program needs from its supervisor.

    ``report`` prints a line for the person at the terminal; ``changed`` is called when a process has begun
    or ended.
    """

    hold: Path
    watchdog: Watchdog
    report: Callable[[str], None]
    changed: Callable[[], None]


class Supervised:
    """A program and its current process. Nothing happens by itself: the supervisor calls ``step``."""

    def __init__(self, program: Program, surroundings: Surroundings) -> None:
        self.program = program
        self.wanted = True
        self.proven = False
        """Whether it was ever seen ready: before, dying is a failed start and not an accident."""
        self.failures: list[int] = []
        """Exit codes (negative: signals) since the start, until it was proven."""
        self._around = surroundings
        self._process: subprocess.Popen[bytes] | None = None
        self._begun = self._next_start = 0.0
        self._pause = _FIRST_PAUSE_SECONDS
        self._kill_at: float | None = None

    @property
    def pid(self) -> int | None:
        """The number of the running process."""
        return self._process.pid if self._process else None

    def step(self, now: float) -> None:
        """Bring what is closer to what should be; ``now`` is a monotonic clock in seconds."""
        if self._process and (code := self._process.poll()) is not None:
            self._ended(self._process.pid, code, now)
        hold = self._hold()
        if not self.wanted or hold is not None:
            self._stop(now, at_once=hold == "kill")
        elif self._process is None and now >= self._next_start:
            self._start(now)

    def kill(self, sent: signal.Signals = signal.SIGKILL) -> None:
        """Send the process a signal; SIGKILL goes to everything it started, too."""
        if self._process is None:
            return
        if sent == signal.SIGKILL:
            kill_group(self._process.pid)
        with suppress(ProcessLookupError):
            os.kill(self._process.pid, sent)

    def _start(self, now: float) -> None:
        self._process = spawn(self.program)
        self._around.watchdog.add(self._process.pid, self.program.death_signal)
        self._begun = now
        self._around.changed()

    def _stop(self, now: float, *, at_once: bool) -> None:
        # Asked for on purpose: once it is wanted again it starts without a pause.
        self._next_start, self._pause = now, _FIRST_PAUSE_SECONDS
        if self._process is None:
            return
        if at_once or (self._kill_at is not None and now >= self._kill_at):
            self._kill_at = now
            self.kill()
        elif self._kill_at is None:
            self._kill_at = now + self.program.stop_seconds
            self._process.send_signal(self.program.stop_signal)

    def _ended(self, pid: int, code: int, now: float) -> None:
        # Whatever it started has lost its purpose, and would hold on to ports and files.
        kill_group(pid)
        self._around.watchdog.remove(pid)
        self._process = None
        if self._kill_at is None:
            self._died(code, now)
        self._kill_at = None
        self._around.changed()

    def _died(self, code: int, now: float) -> None:
        if now - self._begun >= _STEADY_SECONDS:
            self._pause = _FIRST_PAUSE_SECONDS
        self._next_start = now + self._pause
        self._pause = min(self._pause * 2, _LONGEST_PAUSE_SECONDS)
        if not self.proven:
            self.failures.append(code)
            return
        self._around.report(f"{self.program.name} ended ({describe(code)}) and is started again")
        for line in last_lines(self.program.log, _LINES_SHOWN):
            self._around.report(f"    {line}")

    def _hold(self) -> str | None:
        """The content of the hold file, None without one."""
        try:
            return (self._around.hold / self.program.name).read_text().strip()
        except OSError:
            return None


def describe(code: int) -> str:
    """An exit code of subprocess in words."""
    return f"signal {-code}" if code < 0 else f"exit code {code}"

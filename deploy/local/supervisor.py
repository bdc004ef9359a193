"""Many programs kept running together, from one task of the event loop."""

import asyncio
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.local.process import Program, StartError, last_lines
from deploy.local.supervised import Supervised, Surroundings, describe
from deploy.local.watchdog import Watchdog

_TICK_SECONDS = 0.1
_PROBE_SECONDS = 0.05
START_SECONDS = 60.0
_BAD_SETTING_EXIT_CODE = 78
_TRIES_AT_START = 3


class Supervisor:
    """An async context manager: leaving it stops everything, the programs added last first.

    ``hold`` is the directory of hold files: while one with a program's name is there, that program is
    kept down (stopped politely; by SIGKILL when the file says "kill"). ``lock`` is the descriptor of a
    locked file, kept locked until the last process is gone. ``changed`` is called after each begin and end
    of a process.
    """

    def __init__(
        self,
        hold: Path,
        lock: int,
        report: Callable[[str], None],
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        hold.mkdir(parents=True, exist_ok=True)
        self._report = report
        self._watchdog = Watchdog(lock)
        self._around = Surroundings(hold, self._watchdog, report, changed)
        self._tiers: list[dict[str, Supervised]] = []
        self._watch: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._watch = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            for tier in reversed(self._tiers):
                for one in tier.values():
                    one.wanted = False
                await self._until_down(tier.values())
        finally:
            # Also when a second signal cancels the wait above: nothing is left behind.
            self._end_all()

    def pids(self) -> dict[str, int]:
        """The running processes by name."""
        return {name: pid for name, one in self._all().items() if (pid := one.pid) is not None}

    def add(self, *programs: Program) -> None:
        """Start programs; they are stopped together, before those added earlier."""
        tier = {program.name: Supervised(program, self._around) for program in programs}
        self._tiers.append(tier)
        for one in tier.values():
            one.step(time.monotonic())

    async def start(self, name: str) -> None:
        """Start a program that was stopped; returns when it is ready."""
        self._all()[name].wanted = True
        await self.ready(name)

    async def stop(self, name: str) -> None:
        """Stop a program and keep it down; returns when its process is gone."""
        one = self._all()[name]
        one.wanted = False
        await self._until_down([one])

    def kill(self, name: str, sent: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to a program's process; should it die, it is started again."""
        self._all()[name].kill(sent)

    async def ready(self, *names: str, within_seconds: float = START_SECONDS) -> None:
        """Wait until all these programs answer, all at the same time.

        Raises StartError with the last lines of the log of the first that does not in time, or keeps ending.
        """
        try:
            async with asyncio.TaskGroup() as group:
                for name in names:
                    group.create_task(self._ready(self._all()[name], within_seconds))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def forever(self) -> None:
        """Return only by raising: cancelled, or with whatever broke the supervision itself."""
        assert self._watch is not None  # noqa: S101 - only inside the context
        await asyncio.shield(self._watch)

    async def _ready(self, one: Supervised, within_seconds: float) -> None:
        begun = time.monotonic()
        while one.pid is None or not await asyncio.to_thread(one.program.probe):
            if _BAD_SETTING_EXIT_CODE in one.failures:
                raise StartError(_last_word(one))
            if len(one.failures) >= _TRIES_AT_START:
                raise _failed(one, f"does not start ({describe(one.failures[-1])})")
            if time.monotonic() - begun > within_seconds:
                raise _failed(one, f"was not ready after {within_seconds:.0f} s")
            await asyncio.sleep(_PROBE_SECONDS)
        if not one.proven:
            one.proven = True
            self._report(f"{one.program.name} is ready")

    async def _run(self) -> None:
        while True:
            now = time.monotonic()
            for one in self._all().values():
                one.step(now)
            await asyncio.sleep(_TICK_SECONDS)

    async def _until_down(self, programs: Iterable[Supervised]) -> None:
        waiting = list(programs)
        while any(one.pid is not None for one in waiting):
            now = time.monotonic()
            for one in waiting:
                one.step(now)
            await asyncio.sleep(_PROBE_SECONDS)

    def _end_all(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
        everything = self._all().values()
        while any(one.pid is not None for one in everything):
            for one in everything:
                one.wanted = False
                one.kill()
                one.step(time.monotonic())
            # Not awaited: it must not be cancelled, and a killed process is gone in a moment.
            time.sleep(0.01)
        self._watchdog.close()

    def _all(self) -> dict[str, Supervised]:
        return {name: one for tier in self._tiers for name, one in tier.items()}


def _last_word(one: Supervised) -> str:
    # A service that refuses its settings says why in one line, which names the variable.
    return "".join(last_lines(one.program.log, 1)).removeprefix("reelgate: ")


def _failed(one: Supervised, what: str) -> StartError:
    tail = "\n".join(f"    {line}" for line in last_lines(one.program.log))
    return StartError(f"{one.program.name} {what}. The end of {one.program.log}:\n{tail}")

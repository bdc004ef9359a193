"""Campaigns: many trials of one fault, each with a seed of its own.

A plain test run takes a slice of every campaign: its first trials, as far as they fit into FAULTS_S seconds for all
campaigns together. `FAULTS=full` (`make faults`) takes all of them with a fresh seed, remembers those that are done,
so that an interrupted campaign goes on where it stopped, and adds a row to REPORT.md at its end.
`FAULTS_TRIAL=SEED:NUMBER` repeats the one trial that a failure named.
"""

import asyncio
import contextlib
import json
import os
import random
import secrets
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

import pytest

from tests.bench.report import commit
from tests.faults.report import Outcome, Ran, publish, summary

FULL: Final = os.environ.get("FAULTS") == "full"
# A slice ends by itself; a whole campaign takes as long as it takes.
PATIENT: Final = pytest.mark.timeout(0 if FULL else 150)

_ALL_SLICES_SECONDS: Final = 180.0
_SCALE: Final = float(os.environ.get("FAULTS_S", _ALL_SLICES_SECONDS)) / _ALL_SLICES_SECONDS
_ONLY: Final = os.environ.get("FAULTS_TRIAL", "")
_LEDGERS: Final = Path(__file__).with_name(".campaigns")
_SLICE_SEED: Final = "slice"
_MOST_FAILURES: Final = 10


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial; all it leaves to chance comes from `chance`."""

    number: int
    seed: str
    chance: random.Random

    @classmethod
    def of(cls, campaign_seed: str, number: int) -> Self:
        """The trial of this number in a campaign with this seed."""
        seed = f"{campaign_seed}:{number}"
        return cls(number, seed, random.Random(seed))


Try = Callable[[Trial], Awaitable[Outcome]]
"""Does one trial; raises when what must hold did not."""


@dataclass(frozen=True, slots=True)
class Campaign:
    """A number of trials of one fault. `slice_seconds` is its part of the time that all slices have."""

    name: str
    must: str
    """What must hold, in a sentence for the report."""
    trials: int
    slice_trials: int
    slice_seconds: float

    async def run(
        self,
        attempt: Try,
        *,
        at_once: int = 1,
        afterwards: Callable[[], Awaitable[None]] | None = None,
    ) -> Sequence[Outcome]:
        """Runs the trials that are due, and looks at what they left behind `afterwards`.

        Gives the outcomes of all trials done, those of interrupted runs included. Raises AssertionError with the seeds
        of those that failed, after the others were tried.
        """
        if _ONLY:
            seed, _, number = _ONLY.rpartition(":")
            return [await attempt(Trial.of(seed, int(number)))]
        ledger = Ledger.of(self.name) if FULL else Ledger(None, _SLICE_SEED)
        deadline = None if FULL else time.monotonic() + self.slice_seconds * _SCALE
        failures: dict[str, BaseException] = {}
        due = iter(range(self.trials if FULL else min(self.trials, self.slice_trials)))

        async def one_after_the_other() -> None:
            for number in due:
                if number in ledger.done:
                    continue
                late = deadline is not None and time.monotonic() > deadline
                if late or len(failures) >= _MOST_FAILURES:
                    return
                trial = Trial.of(ledger.seed, number)
                try:
                    ledger.add(number, await attempt(trial))
                except Exception as error:  # noqa: BLE001 - whatever it is, the others are tried too
                    failures[trial.seed] = error

        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(one_after_the_other())
        if afterwards is not None:
            try:
                await afterwards()
            except Exception as error:  # noqa: BLE001 - reported as the trials are
                failures["afterwards"] = error
        self._tell(ledger, failures)
        return list(ledger.done.values())

    def _tell(self, ledger: "Ledger", failures: Mapping[str, BaseException]) -> None:
        print(f"\n{self.name}: {len(ledger.done)} trials held\n{summary(ledger.done.values())}")
        if FULL:
            ended = datetime.now(UTC)
            ran = Ran(ledger.begun, ended, commit(), len(ledger.done), list(failures), ledger.seed)
            publish(self.name, self.must, ran, ledger.done.values())
            if not failures:
                ledger.close()
        if failures:
            stories = (
                f"--- {seed}\n{''.join(traceback.format_exception(error))}"
                for seed, error in failures.items()
            )
            raise AssertionError(
                f"{self.name}: {len(failures)} failed besides {len(ledger.done)} that held. "
                f"FAULTS_TRIAL=SEED repeats one.\n{''.join(stories)}"
            )


class Ledger:
    """The trials of a campaign that are done, in a file unless `file` is None."""

    def __init__(self, file: Path | None, seed: str) -> None:
        self.seed = seed
        self.begun = datetime.now(UTC)
        self.done: dict[int, Outcome] = {}
        self._file = file

    @classmethod
    def of(cls, name: str, folder: Path = _LEDGERS) -> Self:
        """The campaign of this name that was interrupted, or a new one."""
        folder.mkdir(exist_ok=True)
        file = folder / f"{''.join(c if c.isalnum() else '-' for c in name.lower())}.jsonl"
        ledger = cls(file, secrets.token_hex(4))
        if file.exists():
            ledger._read(file)
        else:
            ledger._write({"seed": ledger.seed, "begun": ledger.begun.isoformat()})
        return ledger

    def _read(self, file: Path) -> None:
        if not file.read_bytes().endswith(b"\n"):  # as a kill leaves it
            self._append("")
        lines = _records(file)
        head = next(lines)
        self.seed, self.begun = str(head["seed"]), datetime.fromisoformat(str(head["begun"]))
        for line in lines:
            figures = line["figures"]
            assert isinstance(figures, dict)
            self.done[int(str(line["trial"]))] = Outcome(str(line["outcome"]), figures)

    def add(self, number: int, outcome: Outcome) -> None:
        """Notes a trial that held, for good."""
        self.done[number] = outcome
        self._write({"trial": number, "outcome": outcome.what, "figures": dict(outcome.figures)})

    def _write(self, record: Mapping[str, object]) -> None:
        self._append(json.dumps(record))

    def _append(self, line: str) -> None:
        if self._file is not None:
            with self._file.open("a") as file:
                file.write(f"{line}\n")

    def close(self) -> None:
        """The campaign is through: the next one begins anew."""
        if self._file is not None:
            self._file.unlink()


def _records(file: Path) -> Iterator[dict[str, object]]:
    for line in file.read_text().splitlines():
        # A run that was killed may have left half a line, and an empty one is no record.
        with contextlib.suppress(json.JSONDecodeError):
            yield json.loads(line)

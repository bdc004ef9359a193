"""REPORT.md: a section for each campaign, with a row for each of its runs and what came of the last one's trials."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Final

from tests.bench.report import table

FILE: Final = Path(__file__).with_name("REPORT.md")
_TITLE: Final = """\
# Faults

Written by `make faults`: one section for each campaign, one row for each time it was run to its end. A trial is
repeated by `FAULTS_TRIAL=SEED:NUMBER`. "0 failed of n" says: below 3/n, with a certainty of 95 %.
"""
_COLUMNS: Final = ("begun (UTC)", "ended", "commit", "trials that held", "failed", "seed")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a trial that held: equal ones are counted together, their figures become medians."""

    what: str
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ran:
    """One run of a campaign to its end."""

    begun: datetime
    ended: datetime
    commit: str
    held: int
    failed: Sequence[str]
    """The seeds of the trials that failed."""
    seed: str

    @property
    def row(self) -> Sequence[str]:
        """As the report has it."""
        failed = "0" if not self.failed else f"{len(self.failed)}: {', '.join(self.failed)}"
        times = (f"{when:%Y-%m-%d %H:%M}" for when in (self.begun, self.ended))
        return (*times, self.commit, f"{self.held:,}", failed, f"`{self.seed}`")


def summary(outcomes: Iterable[Outcome]) -> str:
    """How often each outcome was seen, with the median and the worst of its figures."""
    groups: defaultdict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        groups[outcome.what].append(outcome)
    every = [one for group in groups.values() for one in group]
    names = list(dict.fromkeys(name for one in every for name in one.figures))
    rows: list[Sequence[str]] = [("outcome", "trials", *names)]
    for what, group in sorted(groups.items()):
        cells = (
            _cell([one.figures[name] for one in group if name in one.figures]) for name in names
        )
        rows.append((what, f"{len(group):,}", *cells))
    return table(rows)


def _cell(values: Sequence[float]) -> str:
    if not values:
        return ""
    middle, worst = f"{median(values):.3g}", f"{max(values):.3g}"
    return middle if middle == worst else f"{middle} (max {worst})"


def publish(name: str, must: str, ran: Ran, outcomes: Iterable[Outcome], file: Path = FILE) -> None:
    """Adds a run to the campaign's section."""
    sections = _sections(file)
    earlier = re.findall(r"^\| \d{4}-.*$", sections.get(name, ""), re.MULTILINE)
    rows = "\n".join((table([_COLUMNS]), *earlier, table([ran.row]).splitlines()[0]))
    last = f"The trials of the last run:\n\n{summary(outcomes)}"
    sections[name] = f"{must}\n\n{rows}\n\n{last}\n"
    text = "\n".join([_TITLE, *(f"## {one}\n\n{sections[one]}" for one in sorted(sections))])
    unfinished = file.with_suffix(".unfinished")
    unfinished.write_text(text)
    unfinished.replace(file)


def _sections(file: Path) -> dict[str, str]:
    if not file.exists():
        return {}
    _, *rest = re.split(r"^## (.+)\n\n", file.read_text(), flags=re.MULTILINE)
    return {
        name: text.rstrip("\n") + "\n" for name, text in zip(rest[::2], rest[1::2], strict=True)
    }

"""Samples of every figure, and the tables made of their medians."""

from collections import defaultdict
from collections.abc import Sequence
from statistics import median
from typing import Final

from tests.bench.pipe.peers import Peers, Used
from tests.bench.processes import MIB
from tests.bench.report import table

OURS: Final = "ours"
UPLOAD: Final = "ours, through Upload"


class Figures:
    """Samples by who was measured. Sizes in bytes."""

    def __init__(self) -> None:
        self._samples: dict[str, list[tuple[Used, int]]] = defaultdict(list)

    def add(self, name: str, used: Used, size: int) -> None:
        """One transfer, or several at once."""
        self._samples[name].append((used, size))

    def __contains__(self, name: str) -> bool:
        return name in self._samples

    def speed(self, name: str) -> float:
        """MiB a second."""
        return median(size / MIB / used.seconds for used, size in self._samples[name])

    def cpu(self, name: str) -> float:
        """Seconds."""
        return median(used.cpu_seconds for used, _ in self._samples[name])

    def peaks(self, name: str) -> list[float]:
        """MiB, of all samples."""
        return [used.peak_bytes / MIB for used, _ in self._samples[name]]


def comparison(title: str, figures: Figures, idle: int, musts: dict[str, tuple[str, str]]) -> str:
    """Everybody's speed, CPU and memory, and ours as ratios of theirs; `musts` for speed and CPU, by peer."""
    rows = [
        (title, "MiB/s", "CPU s", "peak MiB", "our speed ÷ its", "must", "our CPU ÷ its", "must")
    ]
    speed, cpu = figures.speed(OURS), figures.cpu(OURS)
    for name in (OURS, UPLOAD, *Peers.NAMES):
        if name not in figures:
            continue
        peak = median(figures.peaks(name))
        mine = name in {OURS, UPLOAD}
        must = musts.get(name, ("", ""))
        rows.append(
            (
                name.replace("|", "\\|"),
                f"{figures.speed(name):.0f}",
                f"{figures.cpu(name):.2f}",
                f"{peak:.0f} ({peak - idle / MIB:.0f} above idle)" if mine else f"{peak:.0f}",
                "" if mine else f"{speed / figures.speed(name):.2f}",
                must[0],
                "" if mine else f"{cpu / figures.cpu(name):.2f}",
                must[1],
            )
        )
    return table(rows)


def memory(rows: Sequence[tuple[str, Figures, int, str, str]]) -> str:
    """Peak memory for each (what was done, its figures, idle bytes, must, goal)."""
    cells = [("null S3", "MiB/s", "peak MiB in all", "above idle, worst", "must", "goal")]
    for name, figures, idle, must, goal in rows:
        worst = max(figures.peaks(OURS))
        above = f"{worst - idle / MIB:.0f}"
        cells.append((name, f"{figures.speed(OURS):.0f}", f"{worst:.0f}", above, must, goal))
    return table(cells)

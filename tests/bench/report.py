"""REPORT.md: one section for each benchmark, written anew by each of its runs, the others left as they are."""

import os
import platform
import re
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

FILE: Final = Path(__file__).with_name("REPORT.md")
_ROOT: Final = Path(__file__).resolve().parents[2]
_TITLE: Final = """\
# Benchmarks

Written by `make bench`. Ours and the others were measured in turns within one run, so that a noisy machine disturbs
all alike; each figure is the median of its rounds. "Must" is what a release has to reach.
"""
# Taken when the benchmark begins: later it is the benchmark itself that loads the machine.
_LOAD_BEFORE: Final = os.getloadavg()


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as Markdown; the first is the header."""
    header, *body = rows
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, ["-"] * len(header), *body))


def publish(name: str, body: str, file: Path = FILE) -> None:
    """Prints the body (Markdown: a table, and what there is to say to it), and makes it the section of that name."""
    section = f"{_circumstances()}\n\n{body.strip()}\n"
    print(section)
    sections = _sections(file) | {name: section}
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


def _circumstances() -> str:
    before, after = (
        " ".join(f"{load:.1f}" for load in loads) for loads in (_LOAD_BEFORE, os.getloadavg())
    )
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {commit()}. {_machine()}. "
        f"Load average {before} before, {after} after."
    )


def commit() -> str:
    """The commit that is being tested, and whether it was changed since."""
    try:
        name, changes = (
            subprocess.run(
                ["git", *words], cwd=_ROOT, capture_output=True, text=True, check=True
            ).stdout.strip()
            for words in (
                ["rev-parse", "--short", "HEAD"],
                ["status", "--porcelain", "--", "services", "deploy", "protos"],
            )
        )
    except (OSError, subprocess.CalledProcessError):
        return "commit unknown"
    return f"commit {name}" + (" and changes" if changes else "")


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{platform.system()} {platform.machine()}, {_processor()}, {os.cpu_count()} cores, "
        f"{memory:.0f} GiB, Python {platform.python_version()}"
    )


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    found = (
        re.search(r"^model name\s*: (.+)$", facts.read_text(), re.MULTILINE)
        if facts.exists()
        else None
    )
    return found[1].strip() if found else platform.processor() or "unknown processor"

"""`python -m tests.bench.start [rounds]`: `make run` in a new home, then again and again, when everything is built."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from time import monotonic

from deploy.local.environments import ROOT
from tests.bench.report import publish, table


def start_seconds(environment: Mapping[str, str]) -> tuple[float, float]:
    """Seconds from the command to the address on the screen, and what of it the stack itself says it took."""
    begin = monotonic()
    with subprocess.Popen(
        ["make", "run"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as make:
        assert make.stdout is not None
        said = ""
        try:
            for line in make.stdout:
                said += line
                if found := re.search(r"is ready \(([\d.]+) s\)", line):
                    return monotonic() - begin, float(found[1])
        finally:
            # As Ctrl-C at a terminal does it: to all of them. What it prints at the end is read, so that it can.
            os.killpg(make.pid, signal.SIGINT)
            make.stdout.read()
    raise AssertionError(f"it did not start:\n{said}")


def main(arguments: list[str]) -> None:
    (rounds,) = [int(text) for text in arguments] or (3,)
    with tempfile.TemporaryDirectory(prefix="reelgate-bench-") as home:
        environment = {
            # Not those of the make that may have started us.
            **{name: value for name, value in os.environ.items() if "MAKE" not in name},
            "REELGATE_HOME": str(Path(home) / "home"),
            "REELGATE_BFF_PORT": "0",
            "REELGATE_GATEWAY_PORT": "0",
        }
        first, first_stack = start_seconds(environment)
        later = [start_seconds(environment) for _ in range(rounds)]
    whole, stack = (median(samples) for samples in zip(*later, strict=True))
    rows = [
        ("seconds until ready", "`make run`", "of that the stack", "must, idle machine", "goal"),
        ("first time in a new home", f"{first:.1f}", f"{first_stack:.1f}", "", ""),
        ("later", f"{whole:.1f}", f"{stack:.1f}", "≤ 6", "≤ 3"),
    ]
    publish(
        "start",
        f"{table(rows)}\n\nMedian of {rounds} later starts; packages installed, web UI built.",
    )


if __name__ == "__main__":
    main(sys.argv[1:])

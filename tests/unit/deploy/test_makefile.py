"""The first steps on a new machine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.environments import ROOT

_FIND_PYTHON = ["sh", str(ROOT / "deploy" / "local" / "find-python.sh")]


def test_the_python_that_is_named_is_used() -> None:
    found = subprocess.run(
        [*_FIND_PYTHON, "-c", "import sys; print(sys.version_info[:2])"],
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == str(sys.version_info[:2])


def test_without_a_new_enough_python_it_is_said_what_is_needed(tmp_path: Path) -> None:
    (tmp_path / "python3").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "python3").chmod(0o755)
    refused = subprocess.run(
        ["/bin/sh", _FIND_PYTHON[1], "--version"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 1
    assert "Python 3.11 or newer is needed" in refused.stderr


@pytest.mark.parametrize("command", ["run", "test", "check", "e2e", "bench", "faults", "clean"])
def test_make_alone_tells_of_every_command(command: str) -> None:
    printed = subprocess.run(
        ["make", "-C", str(ROOT)], capture_output=True, text=True, check=True
    ).stdout
    assert f"\n  {command} " in printed


def test_no_lock_file_names_a_registry() -> None:
    for lock in (
        "requirements.lock",
        "requirements-dev.lock",
        "services/frontend_bff/web/package-lock.json",
        "tests/e2e/package-lock.json",
    ):
        text = (ROOT / lock).read_text()
        for word in ('"resolved":', "--index-url", "--find-links", "://pypi", "://registry"):
            assert word not in text, lock

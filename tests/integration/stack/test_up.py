"""`reelgate up`, the command behind `make run`, with all services."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from deploy.local import plan
from deploy.local.ready import Ready
from tests.integration.stack.tiny import alive, family, until

_UP = [sys.executable, "-m", "services.cli", "up"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "REELGATE_HOME": str(tmp_path / "home"),
        "REELGATE_BFF_PORT": "0",
        "REELGATE_GATEWAY_PORT": "0",
    }


@pytest.fixture
def up(environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(_UP, stdout=subprocess.PIPE, text=True, env=environment)
    yield process
    process.kill()
    process.communicate()


def _ready(home: Path, process: subprocess.Popen[str]) -> Ready:
    found: list[Ready] = []

    def look() -> bool:
        assert process.poll() is None, process.communicate()[0]
        with suppress(FileNotFoundError):
            found.append(Ready.read(home))
        return bool(found)

    until(look, 60)
    return found[0]


def test_everything_answers_and_the_address_and_the_demo_account_are_printed(
    up: subprocess.Popen[str], tmp_path: Path
) -> None:
    ready = _ready(tmp_path / "home", up)
    assert set(ready.pids) == set(plan.NAMES)
    for page in (
        f"{ready.bff_url}/healthz",
        f"{ready.gateway_url}/healthz",
        *(f"{url}/readyz" for url in ready.admin.values()),
    ):
        assert plan.answers(page), page
    everything = family(up.pid)
    up.send_signal(signal.SIGINT)
    printed, _ = up.communicate(timeout=40)
    assert up.returncode == 0
    for word in (ready.bff_url, ready.email, ready.password, ready.api_key):
        assert word in printed
    assert not alive(everything)
    assert not (tmp_path / "home" / "ready.json").exists()


def test_kill_9_leaves_nothing_and_the_next_start_finds_everything_where_it_was(
    up: subprocess.Popen[str], environment: dict[str, str], tmp_path: Path
) -> None:
    before = _ready(tmp_path / "home", up)
    everything = family(up.pid)
    up.kill()
    up.wait()
    until(lambda: not alive(everything))
    (tmp_path / "home" / "ready.json").unlink()
    with subprocess.Popen(_UP, stdout=subprocess.PIPE, text=True, env=environment) as again:
        after = _ready(tmp_path / "home", again)
        again.terminate()
    assert after.with_pids({}) == before.with_pids({})


def test_it_ends_with_the_command_that_started_it(
    environment: dict[str, str], tmp_path: Path
) -> None:
    # As when `make run` is killed: make cannot pass that on.
    make = subprocess.Popen(["sh", "-c", f"{' '.join(_UP)} --with-parent; true"], env=environment)
    file = tmp_path / "home" / "ready.json"
    until(file.exists, 60)
    everything = family(make.pid)
    make.kill()
    make.wait()
    until(lambda: not alive(everything), 40)
    assert not file.exists()


def test_a_port_in_use_is_one_line_that_says_what_to_change(environment: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        port = somebody.getsockname()[1]
        refused = subprocess.run(
            _UP,
            env={**environment, "REELGATE_BFF_PORT": str(port)},
            check=False,
            capture_output=True,
            text=True,
            timeout=30,
        )
    assert refused.returncode == 1
    assert refused.stderr.strip() == (
        f"reelgate: port {port} is in use: set REELGATE_BFF_PORT to a free one (0 chooses one)"
    )


def test_a_wrong_setting_of_a_service_stops_the_start_with_one_line_that_names_it(
    environment: dict[str, str],
) -> None:
    refused = subprocess.run(
        _UP,
        env={**environment, "REELGATE_QUOTA_DEFAULT_BYTES": "plenty"},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert refused.returncode == 1
    [line] = refused.stderr.strip().splitlines()
    assert line.startswith("reelgate: REELGATE_QUOTA_DEFAULT_BYTES")

"""Where the parts of the local stack listen."""

import socket
from pathlib import Path

import pytest

from deploy.local import addresses, plan, ports, settings
from deploy.local.addresses import Addresses
from deploy.local.process import StartError

_ANY_PORTS = {"REELGATE_BFF_PORT": "0", "REELGATE_GATEWAY_PORT": "0"}


def _choose(home: Path, **env: str) -> Addresses:
    return addresses.choose(settings.read(home, {**_ANY_PORTS, **env}), plan.NAMES)


def test_no_two_parts_share_a_port(tmp_path: Path) -> None:
    chosen = _choose(tmp_path).ports
    assert len(set(chosen.values())) == len(chosen)


def test_ports_stay_the_same_from_start_to_start(tmp_path: Path) -> None:
    assert _choose(tmp_path).ports == _choose(tmp_path).ports


def test_a_kept_port_that_somebody_else_uses_now_is_chosen_anew(tmp_path: Path) -> None:
    before = _choose(tmp_path).ports
    with socket.socket() as somebody:
        somebody.bind((ports.LOOPBACK, before["postgres"]))
        somebody.listen()
        after = _choose(tmp_path).ports
    assert {name for name in before if before[name] != after[name]} == {"postgres"}


@pytest.mark.parametrize("variable", ["REELGATE_BFF_PORT", "REELGATE_GATEWAY_PORT"])
def test_a_named_port_in_use_stops_the_start_and_the_line_says_what_to_change(
    tmp_path: Path, variable: str
) -> None:
    with socket.socket() as somebody:
        somebody.bind((ports.LOOPBACK, 0))
        somebody.listen()
        with pytest.raises(StartError, match=f"in use: set {variable}"):
            _choose(tmp_path, **{variable: str(somebody.getsockname()[1])})


def test_an_address_that_the_user_sets_wins(tmp_path: Path) -> None:
    chosen = _choose(tmp_path, REELGATE_QUOTA_LISTEN="127.0.0.1:7777")
    assert chosen.listen("quota") == "127.0.0.1:7777"


def test_the_gateways_three_processes_never_share_an_admin_address(tmp_path: Path) -> None:
    chosen = _choose(tmp_path, REELGATE_GATEWAY_ADMIN_LISTEN="127.0.0.1:7777")
    admin = {chosen.admin(name) for name in ("gateway", "gateway_edge", "gateway_worker")}
    assert len(admin) == 3


def test_a_service_that_listens_everywhere_is_reached_at_the_loopback_address() -> None:
    assert addresses.url("0.0.0.0:8080") == "http://127.0.0.1:8080"

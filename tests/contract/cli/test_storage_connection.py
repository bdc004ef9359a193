"""How `reelgate storage` finds storage, and shows that it is an administrator's."""

import pytest

from reelgate.storage.v1 import storage_pb2
from services.kernel.errors import PermissionDenied
from tests.contract.cli.conftest import Reelgate, Services
from tests.contract.frontend_bff.fakes import Backend
from tests.contract.frontend_bff.messages import USER

_NOBODY = "127.0.0.1:1"


@pytest.fixture(autouse=True)
def known(services: Services) -> None:
    services.backend.answers["ListUploads"] = storage_pb2.ListUploadsResponse()


def test_a_local_stack_is_found_by_its_ready_file_with_its_demo_login(
    reelgate: Reelgate, backend: Backend
) -> None:
    assert reelgate("uploads").code == 0
    (login,) = backend.asked("Login")
    assert login.email == "demo@example.com"
    assert backend.subjects("ListUploads") == [USER]


def test_storage_elsewhere_is_asked_with_a_login_at_its_gateway(
    reelgate: Reelgate, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REELGATE_STORAGE_ADDRESS", services.addresses["storage"])
    monkeypatch.setenv("REELGATE_GATEWAY_ADDRESS", services.addresses["gateway"])
    monkeypatch.setenv("REELGATE_EMAIL", "root@example.com")
    monkeypatch.setenv("REELGATE_PASSWORD", "a password")

    assert reelgate("uploads").code == 0
    assert services.backend.asked("Login")[0].email == "root@example.com"
    assert services.backend.subjects("ListUploads") == [USER]


def test_the_signing_key_needs_no_gateway(
    reelgate: Reelgate, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REELGATE_STORAGE_ADDRESS", services.addresses["storage"])
    monkeypatch.setenv("REELGATE_GATEWAY_SIGNING_KEY_FILE", str(services.key_file))

    assert reelgate("uploads").code == 0
    assert services.backend.asked("Login") == []
    assert services.backend.subjects("ListUploads") == ["00000000-0000-0000-0000-000000000000"]


def test_somebody_who_is_no_administrator_is_told_so(
    reelgate: Reelgate, services: Services, backend: Backend
) -> None:
    services.let_in("user")
    ran = reelgate("uploads")

    assert ran.code == 1
    assert "ada@example.org is not an administrator" in ran.err
    assert backend.asked("ListUploads") == []


def test_what_storage_forbids_is_said(reelgate: Reelgate, backend: Backend) -> None:
    backend.answers["ListUploads"] = PermissionDenied("Only an administrator may do this.")

    assert reelgate("uploads").err == "reelgate: Only an administrator may do this.\n"


_WHO = {"REELGATE_EMAIL": "root@example.com", "REELGATE_PASSWORD": "a password"}


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "No stack is running in .reelgate"),
        (
            {"REELGATE_GATEWAY_ADDRESS": _NOBODY, **_WHO},
            "Set REELGATE_STORAGE_ADDRESS to the host:port of the storage service",
        ),
        ({"REELGATE_STORAGE_ADDRESS": _NOBODY, **_WHO}, "set REELGATE_GATEWAY_ADDRESS"),
        (
            {"REELGATE_STORAGE_ADDRESS": _NOBODY, "REELGATE_GATEWAY_ADDRESS": _NOBODY},
            "REELGATE_EMAIL and REELGATE_PASSWORD",
        ),
        (
            {"REELGATE_STORAGE_ADDRESS": _NOBODY, "REELGATE_GATEWAY_ADDRESS": _NOBODY, **_WHO},
            f"the gateway at {_NOBODY}: A part of the service is not reachable",
        ),
        (
            {
                "REELGATE_STORAGE_ADDRESS": _NOBODY,
                "REELGATE_GATEWAY_SIGNING_KEY_FILE": "signing_key.pem",
            },
            f"storage at {_NOBODY}: A part of the service is not reachable",
        ),
        (
            {
                "REELGATE_STORAGE_ADDRESS": _NOBODY,
                "REELGATE_GATEWAY_SIGNING_KEY_FILE": "no-such-file",
            },
            "REELGATE_GATEWAY_SIGNING_KEY_FILE: no-such-file: No such file",
        ),
    ],
)
def test_what_is_missing_is_said_in_one_line(
    reelgate: Reelgate,
    services: Services,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    said: str,
) -> None:
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    for command in ("uploads", "check", "sweep", "set"):
        ran = reelgate(command)

        assert (ran.code, ran.out) == (1, "")
        assert ran.err.startswith("reelgate: ")
        assert said in ran.err
        assert ran.err.count("\n") == 1
    assert services.backend.asked("Login") == []

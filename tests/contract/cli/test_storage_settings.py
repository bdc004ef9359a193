"""`reelgate storage set` (E1): what is given changes, the rest stays."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from reelgate.storage.v1 import settings_pb2
from services.kernel.errors import Aborted, FailedPrecondition, InvalidArgument, ReelgateError
from tests.contract.cli.conftest import Reelgate, Services
from tests.contract.frontend_bff.fakes import Backend

_ROOT = Path(__file__).resolve().parents[3]
_PRESENT = settings_pb2.S3Settings(
    enabled=True,
    endpoint="https://s3.example",
    region="eu-1",
    bucket="works",
    access_key_id="AK",
    secret_set=True,
    prefix="reelgate/",
    force_path_style=True,
    delivery=settings_pb2.DELIVERY_REDIRECT,
    etag="e1",
)


@pytest.fixture(autouse=True)
def known(services: Services) -> None:
    services.backend.answers |= {
        "GetS3Settings": settings_pb2.GetS3SettingsResponse(
            settings=_PRESENT, origin=settings_pb2.SETTINGS_ORIGIN_ENVIRONMENT
        ),
        "UpdateS3Settings": lambda request: settings_pb2.UpdateS3SettingsResponse(
            settings=request.settings
        ),
        "ResetS3Settings": settings_pb2.ResetS3SettingsResponse(settings=_PRESENT),
    }


def _changed(**changes: object) -> settings_pb2.S3Settings:
    expected = settings_pb2.S3Settings()
    expected.CopyFrom(_PRESENT)
    for name, value in changes.items():
        setattr(expected, name, value)
    return expected


def test_e1_without_flags_the_settings_in_force_are_shown(
    reelgate: Reelgate, backend: Backend
) -> None:
    backend.answers["GetS3Settings"] = settings_pb2.GetS3SettingsResponse(
        settings=_PRESENT,
        origin=settings_pb2.SETTINGS_ORIGIN_OPERATOR,
        capabilities=settings_pb2.S3Capabilities(
            listing=True, try_time=Timestamp(seconds=1_760_000_000)
        ),
        warnings=["The bucket may not be listed."],
    )
    ran = reelgate("set")

    assert ran.code == 0
    assert ran.out == (
        "setting          from an operator's change\n"
        "enabled          yes\n"
        "endpoint         https://s3.example\n"
        "public endpoint  (the endpoint)\n"
        "region           eu-1\n"
        "bucket           works\n"
        "access key id    AK\n"
        "secret           set\n"
        "prefix           reelgate/\n"
        "path style       yes\n"
        "CDN URL          (none)\n"
        "delivery         redirect\n"
        "capabilities     can be listed, checks no checksums (tried 2025-10-09 08:53:20 UTC)\n"
        "! The bucket may not be listed.\n"
    )
    assert backend.asked("UpdateS3Settings") == []


@pytest.mark.parametrize(
    ("flags", "changes"),
    [
        (["--bucket", "new"], {"bucket": "new"}),
        (["--prefix", "", "--cdn-url", "https://cdn"], {"prefix": "", "cdn_url": "https://cdn"}),
        (["--no-path-style"], {"force_path_style": False}),
        (["--disable"], {"enabled": False}),
        (["--delivery", "proxy"], {"delivery": settings_pb2.DELIVERY_PROXY}),
        (["--access-key-id", ""], {"access_key_id": ""}),
        (
            ["--r2-account-id", "abc123", "--bucket", "b"],
            {
                "endpoint": "https://abc123.r2.cloudflarestorage.com",
                "region": "auto",
                "bucket": "b",
            },
        ),
        (
            ["--r2-account-id", "abc123", "--region", "eeur", "--no-path-style"],
            {
                "endpoint": "https://abc123.r2.cloudflarestorage.com",
                "region": "eeur",
                "force_path_style": False,
            },
        ),
    ],
)
def test_e1_only_what_is_given_changes(
    reelgate: Reelgate, backend: Backend, flags: list[str], changes: dict[str, object]
) -> None:
    ran = reelgate("set", *flags)

    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("setting          from an operator's change\n")
    (asked,) = backend.asked("UpdateS3Settings")
    assert asked.settings == _changed(**changes)
    assert not asked.leave_objects_behind


def test_e1_the_secret_is_piped_in_and_never_shown(reelgate: Reelgate, backend: Backend) -> None:
    ran = reelgate("set", "--secret-stdin", stdin="hush\nmore\n")

    assert ran.code == 0
    assert "hush" not in ran.out + ran.err
    assert backend.asked("UpdateS3Settings")[0].settings.secret_access_key == "hush"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--access-key-id", "AK2"], "--secret-stdin"),
        (["--secret-stdin"], "The secret is empty"),
        (["--reset", "--bucket", "b"], "--reset goes back"),
        (["--leave-objects-behind"], "--leave-objects-behind says nothing"),
        (["--r2-account-id", "evil.example/"], "--r2-account-id"),
    ],
)
def test_e1_a_command_line_that_makes_no_sense_changes_nothing(
    reelgate: Reelgate, backend: Backend, flags: list[str], said: str
) -> None:
    ran = reelgate("set", *flags)

    assert ran.code == 1
    assert ran.err.startswith("reelgate: ")
    assert said in ran.err
    assert ran.err.count("\n") == 1
    assert backend.calls == []


def test_e1_a_secret_on_the_command_line_is_not_understood(
    reelgate: Reelgate, backend: Backend
) -> None:
    for flag in ("--secret", "--secret-access-key"):
        with pytest.raises(SystemExit):
            reelgate("set", flag, "hush")
    assert backend.calls == []


def test_e1_reset_goes_back_to_the_environment(reelgate: Reelgate, backend: Backend) -> None:
    ran = reelgate("set", "--reset", "--leave-objects-behind")

    assert ran.code == 0
    assert ran.out.startswith("setting          from the environment of the storage service\n")
    assert backend.asked("ResetS3Settings") == [
        settings_pb2.ResetS3SettingsRequest(etag="e1", leave_objects_behind=True)
    ]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            InvalidArgument("It must be an http(s) address.", field="public_endpoint"),
            "reelgate: public endpoint: It must be an http(s) address.\n",
        ),
        (
            InvalidArgument("The bucket must have a name.", field="bucket"),
            "reelgate: The bucket must have a name.\n",
        ),
        (Aborted("Somebody else changed it."), "reelgate: Somebody else changed it.\n"),
        (
            FailedPrecondition("12 works are not there.", reason="OBJECTS_LEFT_BEHIND"),
            "reelgate: 12 works are not there. (--leave-objects-behind goes on all the same.)\n",
        ),
    ],
)
def test_e1_what_storage_refuses_is_said_in_one_line(
    reelgate: Reelgate, backend: Backend, error: ReelgateError, said: str
) -> None:
    backend.answers["UpdateS3Settings"] = error
    ran = reelgate("set", "--bucket", "b")

    assert (ran.code, ran.out, ran.err) == (1, "", said)


def test_e1_at_a_terminal_the_secret_is_asked_for_and_not_shown(
    services: Services, backend: Backend
) -> None:
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "services.cli", "storage", "set", "--access-key-id", "AK2"],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        cwd=_ROOT,
        env={
            **os.environ,
            "PYTHONPATH": f"{_ROOT}:{_ROOT / 'protos' / 'gen'}",
            "REELGATE_HOME": str(services.home),
        },
    )
    os.close(slave)
    screen, typed = "", False
    with process:
        try:
            while chunk := os.read(master, 4096):
                screen += chunk.decode()
                if not typed and "Secret access key: " in screen:
                    os.write(master, b"hush\n")
                    typed = True
        except OSError:
            pass  # so ends a terminal whose last process is gone
        finally:
            os.close(master)

    assert process.returncode == 0, screen
    assert "hush" not in screen
    settings = backend.asked("UpdateS3Settings")[0].settings
    assert (settings.access_key_id, settings.secret_access_key) == ("AK2", "hush")

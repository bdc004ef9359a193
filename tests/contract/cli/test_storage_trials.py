"""`reelgate storage check|diagnose|test` (E12): each step ticks, or says what is wrong and how to mend it."""

from google.protobuf.duration_pb2 import Duration

from reelgate.storage.v1 import settings_pb2
from tests.contract.cli.conftest import Reelgate
from tests.contract.frontend_bff.fakes import Backend


def _step(
    name: str, detail: str, *, ok: bool = True, cure: str = ""
) -> settings_pb2.TestS3SettingsResponse:
    step = settings_pb2.TestStep(
        name=name, ok=ok, detail=detail, cure=cure, duration=Duration(nanos=12_400_000)
    )
    return settings_pb2.TestS3SettingsResponse(step=step)


def test_e12_a_step_that_went_well_is_a_tick(reelgate: Reelgate, backend: Backend) -> None:
    backend.answers["TestS3Settings"] = [
        _step("connect", "The server answers."),
        _step("multipart", "Two parts."),
    ]
    ran = reelgate("diagnose", "--cleanup")

    assert (ran.code, ran.err) == (0, "")
    assert ran.out == (
        "✓ connect    The server answers. (12 ms)\n"
        "✓ multipart  Two parts. (12 ms)\n"
        "\n"
        "All 2 steps went well.\n"
    )


def test_e12_what_failed_has_its_cure_below_it_and_fails_the_command(
    reelgate: Reelgate, backend: Backend
) -> None:
    backend.answers["TestS3Settings"] = [
        _step("connect", "The server answers."),
        _step("list", "Listing is denied.", cure="Allow s3:ListBucket."),
        _step("upload", "AccessDenied.", ok=False, cure="Allow s3:PutObject."),
    ]
    ran = reelgate("diagnose")

    assert ran.code == 1
    assert ran.out.splitlines()[1:] == [
        "! list       Listing is denied. (12 ms)",
        "    Allow s3:ListBucket.",
        "✗ upload     AccessDenied. (12 ms)",
        "    Allow s3:PutObject.",
        "",
        "1 of 3 steps failed.",
    ]


def test_e12_a_warning_does_not_fail_the_command(reelgate: Reelgate, backend: Backend) -> None:
    backend.answers["TestS3Settings"] = [
        _step("connect", "The server answers."),
        _step("list", "Listing is denied.", cure="Allow s3:ListBucket."),
    ]
    ran = reelgate("check")

    assert ran.code == 0
    assert ran.out.endswith("All 2 steps went well, 1 with something to know.\n")


def test_e12_nothing_tried_is_no_success(reelgate: Reelgate, backend: Backend) -> None:
    backend.answers["TestS3Settings"] = []
    ran = reelgate("check")

    assert (ran.code, ran.out) == (1, "\nNothing could be tried.\n")


def test_e12_check_only_connects_and_diagnose_keeps_the_picture_unless_told_otherwise(
    reelgate: Reelgate, backend: Backend
) -> None:
    backend.answers["TestS3Settings"] = [_step("connect", "The server answers.")]
    reelgate("check")
    reelgate("diagnose")
    reelgate("diagnose", "--cleanup")

    request = settings_pb2.TestS3SettingsRequest
    assert backend.asked("TestS3Settings") == [
        request(connect_only=True),
        request(keep_picture=True),
        request(),
    ]


def test_e12_a_server_can_not_write_to_the_terminal_with_its_error(
    reelgate: Reelgate, backend: Backend
) -> None:
    backend.answers["TestS3Settings"] = [
        _step("connect", "\x1b[2J\rfine\n✓ all", ok=False, cure="\x9b31m")
    ]
    ran = reelgate("check")

    assert "\x1b" not in ran.out
    assert "\x9b" not in ran.out
    assert ran.out.splitlines()[0] == "✗ connect     [2J fine ✓ all (12 ms)"


def test_e1_test_tries_the_flags_over_what_is_in_force_and_keeps_nothing(
    reelgate: Reelgate, backend: Backend
) -> None:
    present = settings_pb2.S3Settings(
        enabled=True, endpoint="https://s3.example", bucket="works", access_key_id="AK", etag="e1"
    )
    backend.answers["GetS3Settings"] = settings_pb2.GetS3SettingsResponse(settings=present)
    backend.answers["TestS3Settings"] = [_step("connect", "The server answers.")]
    ran = reelgate(
        "test", "--bucket", "other", "--access-key-id", "AK2", "--secret-stdin", stdin="hush\n"
    )

    assert ran.code == 0
    assert "hush" not in ran.out + ran.err
    (asked,) = backend.asked("TestS3Settings")
    assert asked.settings == settings_pb2.S3Settings(
        enabled=True,
        endpoint="https://s3.example",
        bucket="other",
        access_key_id="AK2",
        secret_access_key="hush",
        etag="e1",
    )
    assert not asked.keep_picture
    assert backend.asked("UpdateS3Settings") == []

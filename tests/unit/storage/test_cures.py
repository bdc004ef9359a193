"""E12: whatever goes wrong with S3, there is a sentence that names it and one that says what to do."""

from dataclasses import replace
from typing import get_args

import pytest

from services.storage.s3.target import S3Target
from services.storage.trial.cures import Action, Refusal, explain, refusal_of
from services.storage.trial.requests import Answer, Fault, FaultKind

TARGET = S3Target(
    endpoint="https://s3.example.com",
    public_endpoint="",
    region="auto",
    bucket="works",
    access_key_id="an-id",
    secret_access_key="the-secret",
    prefix="media/",
    path_style=True,
    cdn_url="",
)


@pytest.mark.parametrize("action", get_args(Action))
@pytest.mark.parametrize("kind", get_args(FaultKind))
def test_every_fault_has_a_cure_at_every_step(action: Action, kind: FaultKind) -> None:
    for target in (
        TARGET,
        replace(TARGET, cdn_url="https://cdn.example.com"),
        replace(TARGET, public_endpoint="https://public.example.com"),
    ):
        finding = explain(Fault(kind, 418, "Teapot"), action, target)
        assert finding.detail.endswith(".")
        assert len(finding.cure) > 20
        assert "the-secret" not in finding.detail + finding.cure


@pytest.mark.parametrize(
    ("code", "status", "meaning"),
    [
        ("SignatureDoesNotMatch", 403, "signature"),
        ("InvalidAccessKeyId", 403, "key"),
        ("Unauthorized", 401, "key"),
        ("NoSuchBucket", 404, "bucket"),
        ("RequestTimeTooSkewed", 403, "clock"),
        ("PermanentRedirect", 301, "elsewhere"),
        ("AuthorizationHeaderMalformed", 400, "elsewhere"),
        ("NotImplemented", 501, "unable"),
        ("QuotaExceeded", 403, "full"),
        ("SlowDown", 503, "busy"),
        ("", 502, "busy"),
        ("AccessDenied", 403, "denied"),
        ("", 403, "denied"),
        ("NoSuchThing", 400, None),
    ],
)
def test_a_code_means_more_than_its_status(code: str, status: int, meaning: Refusal | None) -> None:
    assert refusal_of(Fault("refused", status, code)) == meaning


def test_a_hanging_server_is_told_from_one_that_is_not_there() -> None:
    hanging = explain(Fault("timeout"), "connect", TARGET).detail
    absent = explain(Fault("connect"), "connect", TARGET).detail
    assert "did not answer in time" in hanging
    assert "accepts connections" in absent


def test_a_link_is_blamed_on_the_address_that_it_leads_to() -> None:
    public = replace(TARGET, public_endpoint="https://public.example.com")
    assert "https://public.example.com" in explain(Fault("dns"), "link", public).detail
    cdn = replace(public, cdn_url="https://cdn.example.com")
    assert "https://cdn.example.com" in explain(Fault("dns"), "link", cdn).detail
    refused = Fault("refused", 403, "SignatureDoesNotMatch")
    assert "Host header" in explain(refused, "link", public).cure


def test_an_answer_tells_its_code_region_and_clock() -> None:
    body = b"<Error><Code>PermanentRedirect</Code><Region>eu-west-1</Region></Error>"
    answer = Answer(301, {"date": "Mon, 01 Jan 2024 00:00:00 GMT"}, body)
    fault = answer.fault()
    assert (fault.status, fault.code, fault.region) == (301, "PermanentRedirect", "eu-west-1")
    assert fault.skew_seconds > 365 * 86_400
    assert Answer(200, {"date": "yesterday"}, b"").skew_seconds == 0
    assert Answer(200, {"date": "Mon, 01 Jan 2024 00:00:00 -0000"}, b"").skew_seconds == 0


def test_an_error_within_a_success_is_an_error() -> None:
    answer = Answer(200, {}, b"<?xml version='1.0'?><Error><Code>InternalError</Code></Error>")
    with pytest.raises(Fault) as caught:
        answer.expect(200)
    assert caught.value.code == "InternalError"

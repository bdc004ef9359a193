"""The administrator's storage pages: settings, their trial, the upload log, the costs (E1, E11, E12, E14)."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from reelgate.storage.v1 import settings_pb2, storage_pb2
from services.frontend_bff.clients import storage_settings
from services.kernel.errors import (
    Aborted,
    FailedPrecondition,
    InvalidArgument,
    PermissionDenied,
    Unavailable,
)
from tests.contract.frontend_bff.conftest import Bff, token
from tests.contract.frontend_bff.fakes import Backend
from tests.contract.frontend_bff.messages import CREATED, OBJECT

_S3 = "/api/v1/admin/storage/s3"
_TEST = f"{_S3}/test"
_UPLOADS = "/api/v1/admin/storage/uploads"
_COSTS = "/api/v1/admin/storage/costs"
_FORM = {
    "enabled": True,
    "endpoint": "https://s3.example.com",
    "public_endpoint": "https://files.example.com",
    "region": "eu-1",
    "bucket": "works",
    "access_key_id": "AK",
    "secret_access_key": "new secret",
    "prefix": "reelgate/",
    "force_path_style": False,
    "cdn_url": "https://cdn.example.com",
    "delivery": "proxy",
}
_CHANGE = _FORM | {"etag": "e1"}


def _settings(**changes: Any) -> settings_pb2.S3Settings:
    fields: dict[str, Any] = {
        "enabled": True,
        "endpoint": "https://s3.example.com",
        "region": "eu-1",
        "bucket": "works",
        "access_key_id": "AK",
        "secret_set": True,
        "force_path_style": True,
        "delivery": settings_pb2.DELIVERY_REDIRECT,
        "etag": "e1",
    }
    return settings_pb2.S3Settings(**fields | changes)


def _step(name: str, *, ok: bool = True, cure: str = "") -> settings_pb2.TestS3SettingsResponse:
    step = settings_pb2.TestStep(
        name=name, ok=ok, detail=f"What {name} saw.", cure=cure, duration=Duration(nanos=12_500_000)
    )
    return settings_pb2.TestS3SettingsResponse(step=step)


@pytest.fixture(autouse=True)
def known(backend: Backend) -> None:
    backend.answers |= {
        "GetS3Settings": settings_pb2.GetS3SettingsResponse(
            settings=_settings(),
            origin=settings_pb2.SETTINGS_ORIGIN_ENVIRONMENT,
            capabilities=settings_pb2.S3Capabilities(
                listing=True, checksums=True, try_time=CREATED
            ),
            warnings=["Something to know."],
        ),
        "UpdateS3Settings": settings_pb2.UpdateS3SettingsResponse(
            settings=_settings(bucket="new", etag="e2")
        ),
        "ResetS3Settings": settings_pb2.ResetS3SettingsResponse(settings=_settings(etag="e3")),
        "TestS3Settings": [_step("connect"), _step("upload", cure="Look at this.")],
        "ListUploads": storage_pb2.ListUploadsResponse(),
        "GetCosts": storage_pb2.GetCostsResponse(),
    }


async def test_e1_the_settings_are_shown_without_the_secret(bff: Bff) -> None:
    answer = await bff.call("GET", _S3)

    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert await answer.json() == {
        "enabled": True,
        "endpoint": "https://s3.example.com",
        "public_endpoint": "",
        "region": "eu-1",
        "bucket": "works",
        "access_key_id": "AK",
        "secret_access_key": None,
        "secret_set": True,
        "prefix": "",
        "force_path_style": True,
        "cdn_url": "",
        "delivery": "redirect",
        "etag": "e1",
        "origin": "environment",
        "capabilities": {"listing": True, "checksums": True, "tried_at": "2025-10-09T08:53:20Z"},
        "warnings": ["Something to know."],
    }


async def test_e1_a_secret_that_storage_should_not_have_sent_stays_here(
    bff: Bff, backend: Backend
) -> None:
    leaky = settings_pb2.GetS3SettingsResponse(settings=_settings(secret_access_key="hush"))
    backend.answers["GetS3Settings"] = leaky
    backend.answers["UpdateS3Settings"] = settings_pb2.UpdateS3SettingsResponse(
        settings=_settings(secret_access_key="hush")
    )

    for method, body in (("GET", None), ("PUT", _CHANGE)):
        answer = await bff.call(method, _S3, json=body)
        assert answer.status == 200
        assert "hush" not in await answer.text()


async def test_e1_a_change_carries_every_value_and_answers_with_what_is_in_force(
    bff: Bff, backend: Backend
) -> None:
    answer = await bff.call("PUT", _S3, json=_CHANGE | {"leave_objects_behind": True})

    assert answer.status == 200
    changed = await answer.json()
    assert (changed["bucket"], changed["etag"]) == ("new", "e2")
    assert (changed["origin"], changed["warnings"]) == ("operator", ["Something to know."])
    (asked,) = backend.asked("UpdateS3Settings")
    assert asked.leave_objects_behind
    assert asked.settings == settings_pb2.S3Settings(
        enabled=True,
        endpoint="https://s3.example.com",
        public_endpoint="https://files.example.com",
        region="eu-1",
        bucket="works",
        access_key_id="AK",
        secret_access_key="new secret",
        prefix="reelgate/",
        cdn_url="https://cdn.example.com",
        delivery=settings_pb2.DELIVERY_PROXY,
        etag="e1",
    )


@pytest.mark.parametrize("secret", [None, ""])
async def test_e1_a_secret_that_is_null_or_empty_keeps_the_stored_one(
    bff: Bff, backend: Backend, secret: str | None
) -> None:
    answer = await bff.call("PUT", _S3, json=_CHANGE | {"secret_access_key": secret})

    assert answer.status == 200
    assert backend.asked("UpdateS3Settings")[0].settings.secret_access_key == ""


async def test_e1_what_was_read_can_be_sent_back_as_it_is(bff: Bff, backend: Backend) -> None:
    read = await (await bff.call("GET", _S3)).json()
    answer = await bff.call("PUT", _S3, json=read)

    assert answer.status == 200
    sent = _settings()
    sent.secret_set = False
    assert backend.asked("UpdateS3Settings")[0].settings == sent


async def test_e1_a_reset_goes_back_to_the_environment(bff: Bff, backend: Backend) -> None:
    answer = await bff.call("DELETE", f"{_S3}?etag=e1&leave_objects_behind=true")

    assert answer.status == 200
    assert (await answer.json())["etag"] == "e3"
    assert (await answer.json())["origin"] == "environment"
    (asked,) = backend.asked("ResetS3Settings")
    assert (asked.etag, asked.leave_objects_behind) == ("e1", True)


@pytest.mark.parametrize(("method", "rpc"), [("PUT", "Update"), ("DELETE", "Reset")])
async def test_e1_refused_changes_say_why(
    bff: Bff, backend: Backend, method: str, rpc: str
) -> None:
    table = (
        (Aborted("Changed meanwhile.", reason="STALE_ETAG"), 409, "stale_etag"),
        (FailedPrecondition("Left.", reason="OBJECTS_LEFT_BEHIND"), 409, "objects_left_behind"),
        (InvalidArgument("No URL.", field="endpoint"), 400, "invalid_argument"),
    )
    for error, status, code in table:
        backend.answers[f"{rpc}S3Settings"] = error
        answer = await bff.call(method, f"{_S3}?etag=e1", json=_CHANGE)

        problem = await answer.json()
        assert (answer.status, problem["code"]) == (status, code)
        assert problem["detail"] == str(error)
        if status == 400:
            assert problem["errors"] == [{"field": "endpoint", "message": "No URL."}]


async def test_e12_a_trial_answers_with_its_steps(bff: Bff, backend: Backend) -> None:
    answer = await bff.call("POST", _TEST, json=_FORM | {"secret_access_key": None})

    assert answer.status == 200
    assert await answer.json() == {
        "ok": True,
        "steps": [
            {
                "name": "connect",
                "ok": True,
                "detail": "What connect saw.",
                "cure": None,
                "duration_ms": 12.5,
            },
            {
                "name": "upload",
                "ok": True,
                "detail": "What upload saw.",
                "cure": "Look at this.",
                "duration_ms": 12.5,
            },
        ],
    }
    (asked,) = backend.asked("TestS3Settings")
    assert asked.settings.bucket == "works"
    assert asked.settings.secret_access_key == ""
    assert not asked.keep_picture


async def test_e12_a_failed_step_is_an_answer_and_not_an_error(bff: Bff, backend: Backend) -> None:
    backend.answers["TestS3Settings"] = [
        _step("connect", ok=False, cure="Check the secret."),
    ]
    answer = await bff.call("POST", _TEST, json=_FORM)

    assert answer.status == 200
    trial = await answer.json()
    assert not trial["ok"]
    assert trial["steps"][0]["cure"] == "Check the secret."


async def test_e12_a_trial_without_a_step_did_not_succeed(bff: Bff, backend: Backend) -> None:
    backend.answers["TestS3Settings"] = []
    answer = await bff.call("POST", _TEST, json=_FORM)

    assert await answer.json() == {"ok": False, "steps": []}


async def test_e12_a_trial_that_takes_too_long_shows_the_steps_that_came(
    bff: Bff, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_settings, "_TRIAL_SECONDS", 0.3)
    backend.answers["TestS3Settings"] = [_step("connect"), asyncio.Event()]
    answer = await bff.call("POST", _TEST, json=_FORM)

    assert answer.status == 200
    trial = await answer.json()
    assert not trial["ok"]
    assert [(step["name"], step["ok"]) for step in trial["steps"]] == [
        ("connect", True),
        ("time", False),
    ]
    assert trial["steps"][1]["cure"]


async def test_e11_the_upload_log_has_pages(bff: Bff, backend: Backend) -> None:
    record = storage_pb2.UploadRecord(
        id=OBJECT,
        object_id=OBJECT,
        source="studio.example",
        tier=storage_pb2.TIER_S3,
        size_bytes=5,
        duration=Duration(nanos=1_500_000),
        create_time=CREATED,
    )
    failed = storage_pb2.UploadRecord(
        id=OBJECT, source="upload", failure_reason="SOURCE_FAILED", create_time=CREATED
    )
    backend.answers["ListUploads"] = storage_pb2.ListUploadsResponse(
        uploads=[record, failed], next_page_token="more"
    )
    answer = await bff.call("GET", f"{_UPLOADS}?page_size=2&page_token=abc")

    assert answer.status == 200
    page = await answer.json()
    assert page["next_page_token"] == "more"
    assert page["items"] == [
        {
            "id": OBJECT,
            "object_id": OBJECT,
            "source": "studio.example",
            "tier": "s3",
            "size_bytes": 5,
            "duration_ms": 1.5,
            "failure": None,
            "created_at": "2025-10-09T08:53:20Z",
        },
        {
            "id": OBJECT,
            "object_id": None,
            "source": "upload",
            "tier": None,
            "size_bytes": 0,
            "duration_ms": 0,
            "failure": "source_failed",
            "created_at": "2025-10-09T08:53:20Z",
        },
    ]
    (asked,) = backend.asked("ListUploads")
    assert (asked.page_size, asked.page_token) == (2, "abc")


async def test_e14_the_costs_of_a_time(bff: Bff, backend: Backend) -> None:
    backend.answers["GetCosts"] = storage_pb2.GetCostsResponse(
        stored_bytes=10**12,
        write_operations=3,
        read_operations=4,
        egress_bytes=5,
        r2_monthly_usd=15.0,
        s3_monthly_usd=23.5,
    )
    query = "start=2026-01-01T00:00:00Z&end=2026-01-31T23:59:59.5%2B02:00"
    answer = await bff.call("GET", f"{_COSTS}?{query}")

    assert answer.status == 200
    assert await answer.json() == {
        "stored_bytes": 10**12,
        "write_operations": 3,
        "read_operations": 4,
        "egress_bytes": 5,
        "r2_monthly_usd": 15.0,
        "s3_monthly_usd": 23.5,
    }
    await bff.call("GET", _COSTS)
    given, left_out = backend.asked("GetCosts")
    assert given.start_time == Timestamp(seconds=1_767_225_600)
    assert given.end_time.ToJsonString() == "2026-01-31T21:59:59.500Z"
    assert left_out == storage_pb2.GetCostsRequest()


async def test_e14_a_time_that_storage_refuses_is_named_as_the_query_names_it(
    bff: Bff, backend: Backend
) -> None:
    backend.answers["GetCosts"] = InvalidArgument("It ends too early.", field="end_time")
    answer = await bff.call("GET", f"{_COSTS}?end=2026-01-01T00:00:00Z")

    assert answer.status == 400
    assert (await answer.json())["errors"] == [{"field": "end", "message": "It ends too early."}]


_CALLS: list[tuple[str, str, str, Any]] = [
    ("GET", _S3, "GetS3Settings", None),
    ("PUT", _S3, "UpdateS3Settings", _CHANGE),
    ("DELETE", f"{_S3}?etag=e1", "ResetS3Settings", None),
    ("POST", _TEST, "TestS3Settings", _FORM),
    ("GET", _UPLOADS, "ListUploads", None),
    ("GET", _COSTS, "GetCosts", None),
]


@pytest.mark.parametrize(("method", "path", "rpc", "body"), _CALLS)
async def test_only_administrators_get_in(
    bff: Bff, backend: Backend, method: str, path: str, rpc: str, body: Any
) -> None:
    backend.answers[rpc] = PermissionDenied("Only an administrator may do this.")

    nobody = await bff.call(method, path, headers={}, json=body)
    assert nobody.status == 401
    assert backend.asked(rpc) == []
    somebody = await bff.call(method, path, json=body)
    assert somebody.status == 403
    assert (await somebody.json())["detail"] == "Only an administrator may do this."


@pytest.mark.parametrize(("method", "path", "rpc", "body"), _CALLS)
async def test_storage_that_is_away_is_503(
    bff: Bff, backend: Backend, method: str, path: str, rpc: str, body: Any
) -> None:
    backend.answers[rpc] = Unavailable("Not now.")
    answer = await bff.call(method, path, json=body)

    assert answer.status == 503
    assert answer.headers["Retry-After"]


@pytest.mark.parametrize(("method", "path", "rpc", "body"), _CALLS)
async def test_another_site_changes_nothing_with_a_browsers_cookies(
    bff: Bff, backend: Backend, method: str, path: str, rpc: str, body: Any
) -> None:
    headers = {"Cookie": f"reelgate_access={token()}", "Sec-Fetch-Site": "cross-site"}
    answer = await bff.call(method, path, headers=headers, json=body)

    assert answer.status == (200 if method == "GET" else 403)
    assert len(backend.asked(rpc)) == (method == "GET")


_BAD_BODIES: list[tuple[dict[str, Any], str]] = [
    ({"enabled": "yes"}, "enabled"),
    ({"enabled": None}, "enabled"),
    ({"endpoint": None}, "endpoint"),
    ({"endpoint": 5}, "endpoint"),
    ({"endpoint": "x" * 2049}, "endpoint"),
    ({"bucket": "nul \0"}, "bucket"),
    ({"region": ["eu"]}, "region"),
    ({"secret_access_key": 5}, "secret_access_key"),
    ({"secret_access_key": "x" * 2049}, "secret_access_key"),
    ({"force_path_style": 1}, "force_path_style"),
    ({"delivery": "carrier pigeon"}, "delivery"),
    ({"delivery": None}, "delivery"),
]


async def test_a_bad_form_is_400_and_names_the_field(bff: Bff, backend: Backend) -> None:
    only_a_change: list[tuple[dict[str, Any], str]] = [
        ({"etag": None}, "etag"),
        ({"leave_objects_behind": "yes"}, "leave_objects_behind"),
    ]
    for method, path, cases in (
        ("PUT", _S3, _BAD_BODIES + only_a_change),
        ("POST", _TEST, _BAD_BODIES),
    ):
        for change, field in cases:
            answer = await bff.call(method, path, json=_CHANGE | change)

            assert answer.status == 400, change
            problem = json.loads(await answer.read())
            assert [error["field"] for error in problem["errors"]] == [field]
            # What was sent may be a secret.
            assert "xxxx" not in await answer.text()
    for name in ("enabled", "endpoint", "region", "bucket", "etag"):
        partial = {key: value for key, value in _CHANGE.items() if key != name}
        answer = await bff.call("PUT", _S3, json=partial)
        assert answer.status == 400
        assert (await answer.json())["errors"][0]["field"] == name
    assert backend.asked("UpdateS3Settings") == []
    assert backend.asked("TestS3Settings") == []


@pytest.mark.parametrize(
    ("method", "path", "field"),
    [
        ("DELETE", _S3, "etag"),
        ("DELETE", f"{_S3}?etag=a%00", "etag"),
        ("DELETE", f"{_S3}?etag=e1&leave_objects_behind=perhaps", "leave_objects_behind"),
        ("GET", f"{_UPLOADS}?page_size=0", "page_size"),
        ("GET", f"{_UPLOADS}?page_size=101", "page_size"),
        ("GET", f"{_UPLOADS}?page_token=%00", "page_token"),
        ("GET", f"{_COSTS}?start=yesterday", "start"),
        ("GET", f"{_COSTS}?start=", "start"),
        ("GET", f"{_COSTS}?start=2026-01-01", "start"),
        ("GET", f"{_COSTS}?start=1700000000", "start"),
        ("GET", f"{_COSTS}?start=2026-01-01T00:00:00", "start"),
        ("GET", f"{_COSTS}?end=2026-02-30T00:00:00Z", "end"),
        ("GET", f"{_COSTS}?end=0001-01-01T00:00:00%2B01:00", "end"),
        ("GET", f"{_COSTS}?end=%D9%A2026-01-01T00:00:00Z", "end"),
    ],
)
async def test_a_bad_query_is_400_and_names_the_parameter(
    bff: Bff, method: str, path: str, field: str
) -> None:
    answer = await bff.call(method, path)

    assert answer.status == 400
    assert [error["field"] for error in (await answer.json())["errors"]] == [field]


async def test_a_page_of_a_listed_origin_may_put(
    start: Callable[..., Awaitable[Bff]],
) -> None:
    bff = await start(REELGATE_BFF_CORS_ORIGINS="https://console.example")
    headers = {"Origin": "https://console.example", "Access-Control-Request-Method": "PUT"}
    answer = await bff.call("OPTIONS", _S3, headers=headers)

    assert answer.status == 204
    assert "PUT" in answer.headers["Access-Control-Allow-Methods"]

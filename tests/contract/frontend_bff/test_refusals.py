"""Every refusal has the status and the code of the contract."""

from collections.abc import Awaitable, Callable

import pytest

from reelgate.gateway.v1 import model_pb2
from services.kernel.errors import (
    Aborted,
    AlreadyExists,
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ReelgateError,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    Unimplemented,
)
from tests.contract.frontend_bff.conftest import Bff
from tests.contract.frontend_bff.fakes import Backend
from tests.contract.frontend_bff.messages import GENERATION

_ONE = f"/api/v1/sora/generations/{GENERATION}"
_GENERATE = ("POST", "/api/v1/sora/generate", "CreateGeneration")
_SAVE = ("POST", f"{_ONE}/save", "SaveGeneration")
_RETRY = ("POST", f"{_ONE}/retry", "RetryGeneration")
_CANCEL = ("POST", f"{_ONE}/cancel", "CancelGeneration")
_GET = ("GET", _ONE, "GetGeneration")
_REGISTER = ("POST", "/api/v1/auth/register", "Register")

Kind = type[ReelgateError]
_TABLE: list[tuple[tuple[str, str, str], Kind, str, int, str]] = [
    (_GENERATE, InvalidArgument, "UNKNOWN_MODEL", 400, "unknown_model"),
    (_GENERATE, ResourceExhausted, "INSUFFICIENT_CREDITS", 402, "insufficient_credits"),
    (_GENERATE, ResourceExhausted, "QUOTA_EXCEEDED", 429, "quota_exceeded"),
    (
        _GENERATE,
        ResourceExhausted,
        "CONCURRENCY_LIMIT_EXCEEDED",
        429,
        "concurrency_limit_exceeded",
    ),
    (_GENERATE, Unavailable, "NO_ACCOUNT", 503, "no_account"),
    (_GENERATE, AlreadyExists, "IDEMPOTENCY_KEY_REUSED", 422, "idempotency_key_reused"),
    (_GENERATE, Aborted, "IDEMPOTENCY_KEY_BUSY", 409, "idempotency_key_busy"),
    (_GET, NotFound, "", 404, "not_found"),
    (_GET, PermissionDenied, "", 403, "permission_denied"),
    (_GET, DeadlineExceeded, "", 504, "deadline_exceeded"),
    (_GET, Internal, "", 500, "internal"),
    (_GET, Unauthenticated, "TOKEN_EXPIRED", 401, "token_expired"),
    (_CANCEL, FailedPrecondition, "ALREADY_ENDED", 409, "already_ended"),
    (_RETRY, FailedPrecondition, "CANNOT_RETRY", 409, "cannot_retry"),
    (_RETRY, ResourceExhausted, "INSUFFICIENT_CREDITS", 402, "insufficient_credits"),
    (_RETRY, Unimplemented, "", 501, "unimplemented"),
    (_SAVE, FailedPrecondition, "NOT_UPSTREAM", 400, "not_upstream"),
    (_SAVE, FailedPrecondition, "LINK_EXPIRED", 410, "link_expired"),
    (_SAVE, ResourceExhausted, "QUOTA_EXCEEDED", 429, "quota_exceeded"),
    (_SAVE, Aborted, "SOURCE_FAILED", 502, "source_failed"),
    (_SAVE, Unavailable, "NO_TIER", 503, "storage_disabled"),
    (_REGISTER, AlreadyExists, "EMAIL_TAKEN", 409, "email_taken"),
]


@pytest.mark.parametrize(("call", "kind", "reason", "status", "code"), _TABLE)
async def test_a_refusal_of_a_service_becomes_its_status(
    bff: Bff,
    backend: Backend,
    call: tuple[str, str, str],
    kind: Kind,
    reason: str,
    status: int,
    code: str,
) -> None:
    method, path, rpc = call
    backend.answers[rpc] = kind("What a person reads.", reason=reason or None)
    body = {"model": "m", "prompt": "p", "email": "a@b.c", "password": "12345678"}
    answer = await bff.call(
        method, path, json=body if rpc in ("CreateGeneration", "Register") else None
    )

    assert answer.status == status
    assert answer.content_type == "application/problem+json"
    problem = await answer.json()
    assert problem["status"] == status
    assert problem["code"] == code
    assert problem["type"] == f"urn:reelgate:problem:{code}"
    assert problem["detail"] == "What a person reads."
    assert problem["title"]
    assert problem["request_id"] == answer.headers["X-Request-Id"]
    assert "errors" not in problem
    assert ("Retry-After" in answer.headers) == (status in (429, 503) or "busy" in code)
    assert ("WWW-Authenticate" in answer.headers) == (status == 401)


_FULL = {"used": "300", "reserved": "100", "quota": "1000", "requested": "700"}
_POOR = {"balance": "3", "price": "10"}


@pytest.mark.parametrize("call", [_GENERATE, _SAVE, _RETRY])
@pytest.mark.parametrize(
    ("reason", "metadata", "figures"),
    [
        ("QUOTA_EXCEEDED", _FULL, {"used": 300, "reserved": 100, "quota": 1000, "requested": 700}),
        ("INSUFFICIENT_CREDITS", _POOR, {"balance": 3, "price": 10}),
        # Figures of another refusal, and what is no figure, are not passed on.
        ("CONCURRENCY_LIMIT_EXCEEDED", _FULL | {"limit": "3"}, {}),
        ("INSUFFICIENT_CREDITS", {"balance": "three", "price": "", "secret": "1"}, {}),
    ],
)
async def test_g2_g7_a_refusal_says_its_figures_as_numbers(
    bff: Bff,
    backend: Backend,
    call: tuple[str, str, str],
    reason: str,
    metadata: dict[str, str],
    figures: dict[str, int],
) -> None:
    method, path, rpc = call
    backend.answers[rpc] = ResourceExhausted("Not enough.", reason=reason, metadata=metadata)
    answer = await bff.call(method, path, json={"model": "m", "prompt": "p"})

    problem = await answer.json()
    said = ("type", "title", "status", "detail", "code", "request_id")
    assert {name: value for name, value in problem.items() if name not in said} == figures


async def test_a_field_that_a_service_refuses_is_named(bff: Bff, backend: Backend) -> None:
    backend.answers["CreateGeneration"] = InvalidArgument("There is no such model.", field="model")
    answer = await bff.call("POST", "/api/v1/sora/generate", json={"model": "m", "prompt": "p"})

    assert (await answer.json())["errors"] == [
        {"field": "model", "message": "There is no such model."}
    ]


async def test_a_retry_delay_is_passed_on_in_whole_seconds(bff: Bff, backend: Backend) -> None:
    backend.answers["CreateGeneration"] = Aborted(
        "Still under way.", reason="IDEMPOTENCY_KEY_BUSY", retry_after=0.2
    )
    answer = await bff.call("POST", "/api/v1/sora/generate", json={"model": "m", "prompt": "p"})

    assert (answer.status, answer.headers["Retry-After"]) == (409, "1")


async def test_an_unexpected_failure_below_says_nothing_about_itself(
    bff: Bff, backend: Backend
) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("a secret of the driver")

    backend.answers["GetGeneration"] = broken
    answer = await bff.call("GET", _ONE)

    assert answer.status == 500
    assert "secret" not in await answer.text()


async def test_an_unexpected_failure_here_says_nothing_about_itself(
    bff: Bff, backend: Backend
) -> None:
    # A number that this version does not know: nothing a caller could do about it.
    backend.answers["ListModels"] = model_pb2.ListModelsResponse(
        models=[model_pb2.Model(id="m", media_type=99)]  # type: ignore[arg-type]
    )
    answer = await bff.call("GET", "/api/v1/sora/models")

    assert answer.status == 500
    problem = await answer.json()
    assert problem["code"] == "internal"
    assert problem["request_id"] in problem["detail"]


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/sora/quota",
        "/api/v1/sora/credits",
        "/api/v1/sora/usage",
        "/api/v1/sora/models",
        "/api/v1/sora/storage-status",
        "/api/v1/admin/users",
        "/api/v1/admin/prices",
        _ONE,
    ],
)
async def test_a_service_that_is_down_is_503(
    start: Callable[..., Awaitable[Bff]], path: str
) -> None:
    nobody = "127.0.0.1:1"
    bff = await start(
        REELGATE_GATEWAY_ADDRESS=nobody,
        REELGATE_STORAGE_ADDRESS=nobody,
        REELGATE_QUOTA_ADDRESS=nobody,
    )
    answer = await bff.call("GET", path)

    assert answer.status == 503
    assert answer.headers["Retry-After"]
    assert "127.0.0.1" not in await answer.text()

"""Refusals as RFC 9457 problem+json: which status an error gets, and what is said."""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from typing import Final, Literal

from aiohttp import web

from services.frontend_bff.schemas.answers import FieldProblem, Problem
from services.kernel import context
from services.kernel.errors import (
    HTTP_STATUS,
    FailedPrecondition,
    InvalidArgument,
    ReelgateError,
    category,
)

CONTENT_TYPE: Final = "application/problem+json"

# Where the reason says more than the category does: (status, code; "" is the reason in lower case).
_BY_REASON: Final[Mapping[str, tuple[int, str]]] = {
    "INSUFFICIENT_CREDITS": (402, ""),
    "REGISTRATION_CLOSED": (403, ""),
    "IDEMPOTENCY_KEY_BUSY": (409, ""),
    "IDEMPOTENCY_KEY_REUSED": (422, ""),
    "LINK_EXPIRED": (410, ""),
    "NOT_UPSTREAM": (400, ""),
    "NO_TIER": (503, "storage_disabled"),
    "OBJECT_TOO_LARGE": (413, ""),
    "REQUEST_MISMATCH": (422, ""),
    "SOURCE_FAILED": (502, ""),
    "STALE_ETAG": (409, ""),
}
# Credits that can not be taken back because they are gone: nobody is asked to pay.
_BY_KIND_AND_REASON: Final[Mapping[tuple[type[ReelgateError], str], tuple[int, str]]] = {
    (FailedPrecondition, "INSUFFICIENT_CREDITS"): (409, ""),
}
Figure = Literal["used", "reserved", "quota", "requested", "balance", "price"]
# What a refusal says in numbers.
_FIGURES: Final[Mapping[str, tuple[Figure, ...]]] = {
    "QUOTA_EXCEEDED": ("used", "reserved", "quota", "requested"),
    "INSUFFICIENT_CREDITS": ("balance", "price"),
}
_NUMBER: Final = re.compile(r"-?[0-9]{1,19}")
# When to come back, if the service did not say.
_RETRY_AFTER_SECONDS: Final[Mapping[int, int]] = {429: 5, 503: 2}
_RETRY_AFTER_SECONDS_BY_CODE: Final[Mapping[str, int]] = {"idempotency_key_busy": 1}


class BadInput(InvalidArgument):
    """Fields of a request are wrong; each with what is wrong about it."""

    def __init__(self, errors: Sequence[FieldProblem]) -> None:
        super().__init__("The request is not as it should be; see errors.")
        self.errors = list(errors)


def answer(error: ReelgateError) -> web.Response:
    """The response that tells a caller about `error`."""
    kind = category(error)
    status, code = _BY_KIND_AND_REASON.get(
        (kind, error.reason), _BY_REASON.get(error.reason, (HTTP_STATUS[kind], ""))
    )
    errors: list[FieldProblem] = []
    if isinstance(error, BadInput):
        errors = error.errors
    elif error.field is not None:
        errors = [{"field": error.field, "message": error.message}]
    headers: dict[str, str] = {}
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="reelgate"'
    if status == 416 and "size" in error.metadata:
        headers["Content-Range"] = f"bytes */{error.metadata['size']}"
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    return response(
        status,
        code or error.reason.lower(),
        error.message,
        errors=errors,
        figures=_figures(error),
        headers=headers,
    )


@contextmanager
def after(done: str) -> Iterator[None]:
    """Wrap the second of two changes in this: a refusal of it says as well what the first has `done`."""
    try:
        yield
    except ReelgateError as error:
        error.message = f"{done} {error.message}"
        raise


def response(
    status: int,
    code: str,
    detail: str,
    *,
    errors: Sequence[FieldProblem] = (),
    figures: Mapping[Figure, int] | None = None,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """A problem with this status; 429 and 503 always say when to come back."""
    problem: Problem = {
        "type": f"urn:reelgate:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": context.request_id.get(),
    }
    if errors:
        problem["errors"] = list(errors)
    for name, figure in (figures or {}).items():
        problem[name] = figure
    sent = dict(headers or {})
    wait = _RETRY_AFTER_SECONDS_BY_CODE.get(code) or _RETRY_AFTER_SECONDS.get(status)
    if wait:
        sent.setdefault("Retry-After", str(wait))
    # Nothing about a refusal is worth keeping, and a cache must not hand it to somebody else.
    sent["Cache-Control"] = "no-store"
    return web.Response(
        status=status,
        body=json.dumps(problem, ensure_ascii=False, separators=(",", ":")).encode(),
        headers=sent,
        content_type=CONTENT_TYPE,
    )


def _figures(error: ReelgateError) -> dict[Figure, int]:
    said = error.metadata
    return {
        name: int(said[name])
        for name in _FIGURES.get(error.reason, ())
        if _NUMBER.fullmatch(said.get(name, ""))
    }

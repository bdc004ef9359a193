"""Refusals in the OpenAI error object: `{"error": {"message", "type", "code", "param"}}`."""

import json
import math
from collections.abc import Mapping
from typing import Final

from aiohttp import web

from services.kernel.errors import HTTP_STATUS, ReelgateError

# What the SDKs and the dialect's documents call them.
_TYPE_BY_STATUS: Final[Mapping[int, str]] = {
    400: "invalid_request_error",
    401: "invalid_request_error",
    403: "permission_error",
    404: "invalid_request_error",
    405: "invalid_request_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
}
_CODE_BY_REASON: Final[Mapping[str, str]] = {"BAD_API_KEY": "invalid_api_key"}
_RETRY_AFTER_SECONDS: Final[Mapping[int, int]] = {429: 5, 503: 2}


def answer(error: ReelgateError) -> web.Response:
    """The response that tells a caller about `error`."""
    kind = next(known for known in type(error).__mro__ if known in HTTP_STATUS)
    code = _CODE_BY_REASON.get(error.reason, error.reason.lower())
    return response(
        HTTP_STATUS[kind], code, error.message, param=error.field, retry_after=error.retry_after
    )


def response(
    status: int,
    code: str,
    message: str,
    *,
    param: str | None = None,
    retry_after: float | None = None,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """An error with this status; `retry_after` in seconds, and 429 and 503 always say when to come back."""
    sent = {"Cache-Control": "no-store", **(headers or {})}
    if status == 401:
        sent["WWW-Authenticate"] = 'Bearer realm="reelgate"'
    if retry_after is not None:
        sent["Retry-After"] = str(max(1, math.ceil(retry_after)))
    elif status in _RETRY_AFTER_SECONDS:
        sent["Retry-After"] = str(_RETRY_AFTER_SECONDS[status])
    kind = _TYPE_BY_STATUS.get(status, "server_error" if status >= 500 else "invalid_request_error")
    error = {"message": message, "type": kind, "code": code, "param": param}
    return web.Response(
        status=status,
        body=json.dumps({"error": error}, ensure_ascii=False).encode(),
        headers=sent,
        content_type="application/json",
    )

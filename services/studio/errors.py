"""Errors in OpenAI's form: `{"error": {message, type, param, code}}`."""

import logging
from collections.abc import Awaitable, Callable

from aiohttp import web

_log = logging.getLogger(__name__)

_TYPES = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ApiError(Exception):
    """A refusal the caller is told: status, sentence, code, and the parameter that is wrong (if one is)."""

    def __init__(
        self,
        status: int,
        message: str,
        code: str,
        param: str | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.param, self.retry_after_seconds = (
            status,
            code,
            param,
            retry_after_seconds,
        )

    def response(self) -> web.Response:
        """As OpenAI would answer."""
        kind = _TYPES.get(
            self.status, "server_error" if self.status >= 500 else "invalid_request_error"
        )
        body = {
            "error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}
        }
        headers = {}
        if self.retry_after_seconds is not None:
            headers["Retry-After"] = f"{self.retry_after_seconds:g}"
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return web.json_response(body, status=self.status, headers=headers)


def invalid(param: str, message: str, code: str = "invalid_value") -> ApiError:
    """A `400` about one parameter."""
    return ApiError(400, message, code, param)


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turns refusals, aiohttp's own errors and accidents into OpenAI's form."""
    try:
        return await handler(request)
    except ApiError as refusal:
        return refusal.response()
    except web.HTTPException as error:
        if error.status < 400:
            raise
        code = {404: "not_found", 405: "method_not_allowed", 413: "request_too_large"}.get(
            error.status, "bad_request"
        )
        return ApiError(
            error.status, f"{request.method} {request.path}: {error.reason}.", code
        ).response()
    except Exception:  # noqa: BLE001 - whatever it was, the caller gets an answer in the one form
        _log.exception("an accident in %s %s", request.method, request.path)
        return ApiError(
            500, "The studio had an accident; its log tells more.", "internal_error"
        ).response()

"""What happens around each request: its id, its error object, its figure."""

import re
import time
from typing import Final

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import Histogram

from services.gateway.edge import errors
from services.kernel import context
from services.kernel.errors import ReelgateError
from services.kernel.ids import new_id
from services.kernel.metrics import ERRORS_TOTAL
from services.kernel.postgres import DATABASE_ERRORS

log = structlog.get_logger()

REQUEST_SECONDS: Final = Histogram(
    "reelgate_edge_request_seconds",
    "Time to answer a request of the OpenAI edge, by route and status",
    ("route", "status"),
)
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HEADER: Final = "X-Request-Id"


@web.middleware
async def around(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Gives the request an id (the caller's, when it is a sane one) and answers what it raises."""
    begin = time.perf_counter()
    given = request.headers.get(_HEADER, "")
    request_id = given if _REQUEST_ID.fullmatch(given) else str(new_id())
    context.request_id.set(request_id)
    structlog.contextvars.bind_contextvars(request_id=request_id)
    try:
        response = await handler(request)
    except web.HTTPException as refusal:
        response = _refusal(request, refusal)
    except ReelgateError as error:
        response = errors.answer(error)
    except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets an answer
        response = _trouble(error, request_id)
    if not response.prepared:
        response.headers[_HEADER] = request_id
    resource = request.match_info.route.resource
    # Paths that nobody knows are without number.
    route = "unknown" if resource is None else resource.canonical
    seconds = time.perf_counter() - begin
    REQUEST_SECONDS.labels(route, str(response.status)).observe(seconds)
    return response


def _refusal(request: web.Request, refusal: web.HTTPException) -> web.Response:
    match refusal:
        case web.HTTPNotFound():
            return errors.response(404, "unknown_path", f"Unknown path {request.path[:200]}")
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(refusal.allowed_methods))
            message = f"{request.path} does not take {refusal.method}; it takes {allowed}."
            return errors.response(405, "method_not_allowed", message, headers={"Allow": allowed})
        case web.HTTPRequestEntityTooLarge():
            return errors.response(413, "too_large", "The body is too large.")
        case _:
            return errors.response(refusal.status, "bad_request", refusal.reason)


def _trouble(error: Exception, request_id: str) -> web.Response:
    if isinstance(error, DATABASE_ERRORS):
        log.warning("database_unavailable", error=type(error).__name__)
        message = "The service is busy or restarting. Try again in a moment."
        return errors.response(503, "unavailable", message)
    ERRORS_TOTAL.labels("edge").inc()
    log.error("unexpected_error", where="edge", exc_info=error)
    message = f"Something went wrong here (request {request_id})."
    return errors.response(500, "internal", message)

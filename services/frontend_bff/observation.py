"""Each request has an id, a line in the log, and a place in the metrics."""

import logging
import re
import time
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from aiohttp import http_exceptions, web
from prometheus_client import Histogram

from services.kernel import context
from services.kernel.ids import new_id

log = structlog.get_logger()

HTTP_SERVED_SECONDS: Final = Histogram(
    "reelgate_http_served_seconds",
    "Time to serve an HTTP request, by route, method and status (499: the caller hung up)",
    ("route", "method", "status"),
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600),
)

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{8,64}")
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_HUNG_UP: Final = 499


def _quotes_the_request(record: logging.LogRecord) -> bool:
    return record.exc_info is not None and isinstance(
        record.exc_info[1], http_exceptions.BadHttpMessage
    )


# For the server itself. What is no HTTP it answers with 400 before any route is known; its message quotes bytes
# of the request, among which may be a token.
SERVER_LOG: Final = logging.getLogger(f"{__name__}.server")
SERVER_LOG.addFilter(lambda record: not _quotes_the_request(record))


@web.middleware
async def observed(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Names, times and logs a request; the outermost of all."""
    begin = time.perf_counter()
    given = request.headers.get("X-Request-Id", "")
    request_id = given if _REQUEST_ID.fullmatch(given) else str(new_id())
    context.request_id.set(request_id)
    context.bearer_token.set("")
    structlog.contextvars.bind_contextvars(request_id=request_id)
    status = _HUNG_UP
    try:
        response = await handler(request)
        status = response.status
    finally:
        seconds = time.perf_counter() - begin
        resource = request.match_info.route.resource
        # The pattern, not the path: no ids in labels, and nothing a caller can invent.
        route = resource.canonical if resource is not None else "other"
        method = request.method if request.method in _METHODS else "other"
        HTTP_SERVED_SECONDS.labels(route, method, str(status)).observe(seconds)
        log.info(
            "http_request", route=route, method=method, status=status, seconds=round(seconds, 4)
        )
    return response

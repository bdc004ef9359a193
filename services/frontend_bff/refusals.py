"""Whatever goes wrong becomes a problem that a caller can read; the web UI takes what no route wants."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final

import structlog
from aiohttp import hdrs, http_exceptions, web
from aiohttp.web_protocol import RequestPayloadError

from services.frontend_bff import problems
from services.frontend_bff.web_ui import WebUi
from services.kernel import context
from services.kernel.errors import Internal, InvalidArgument, ReelgateError
from services.kernel.metrics import ERRORS_TOTAL

log = structlog.get_logger()

_DETAIL: Final = {
    404: "There is nothing at this address.",
    405: "This address does not know this method.",
    408: "The body did not arrive in time.",
    413: "The body is too large.",
}


def explained(web_ui: WebUi) -> Any:
    """The middleware."""

    @web.middleware
    async def explain(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPException as error:
            if error.status == HTTPStatus.NOT_FOUND and not _is_api(request.path):
                found = web_ui.answer(request)
                if found is not None:
                    return found
            return _of_http(error)
        except ReelgateError as error:
            return problems.answer(error)
        except (RequestPayloadError, http_exceptions.BadHttpMessage):
            return problems.answer(InvalidArgument("The body can not be read."))
        except ConnectionError:
            raise  # nobody is left to tell
        except Exception:
            ERRORS_TOTAL.labels("http").inc()
            log.exception("unexpected_error")
            if request.writer.output_size:
                # The status is sent already: only a broken connection still tells the reader.
                raise ConnectionResetError from None
            request_id = context.request_id.get()
            return problems.answer(Internal(f"Something went wrong here (request {request_id})."))

    return explain


def _is_api(path: str) -> bool:
    return path == "/api" or path.startswith("/api/")


def _of_http(error: web.HTTPException) -> web.Response:
    status = HTTPStatus(error.status)
    headers: dict[str, str] = {}
    if hdrs.ALLOW in error.headers:
        headers[hdrs.ALLOW] = error.headers[hdrs.ALLOW]
    detail = _DETAIL.get(error.status, status.description or status.phrase)
    return problems.response(
        error.status, status.phrase.lower().replace(" ", "_"), detail, headers=headers
    )

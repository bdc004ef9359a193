"""Structured logs: one JSON object a line, with the request id that crosses all services."""

import logging
import sys
from typing import Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from services.kernel import context

LogFormat = Literal["json", "console"]
LogLevel = Literal["debug", "info", "warning", "error"]


def configure(service: str, *, level: LogLevel = "info", form: LogFormat = "json") -> None:
    """Sends structlog's and the standard library's records to stderr in one form.

    Each has `event`, `level`, `logger`, `service`, `timestamp` (UTC) and, while a call is served, `request_id`.
    """

    def add_origin(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event["service"] = service
        if request_id := context.request_id.get():
            event.setdefault("request_id", request_id)
        return event

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_origin,
    ]
    renderer: Processor = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=False)
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for chatty in ("aiohttp.access", "botocore", "aiobotocore", "asyncio", "psycopg.pool"):
        logging.getLogger(chatty).setLevel(logging.WARNING)

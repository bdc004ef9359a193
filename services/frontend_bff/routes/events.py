"""Changes as they happen, as server-sent events (D14)."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from typing import Final

import jwt
import structlog
from aiohttp import web

from services.frontend_bff.clients.generations import Change, Changed, Deleted, Heartbeat, Reset
from services.frontend_bff.routing import Call, Routes
from services.frontend_bff.schemas.requests import EventsHeaders, EventsQuery
from services.kernel import context
from services.kernel.errors import ReelgateError

log = structlog.get_logger()
routes = Routes("generations")

_COMMENT_SECONDS: Final = 15.0
# A watcher with nothing to see gets its headers after this time. Until then a refusal has a status.
_OPEN_SECONDS: Final = 1.0
_HEADERS: Final = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    # Proxies must not collect what is to arrive at once.
    "X-Accel-Buffering": "no",
}


@routes.get("/api/v1/sora/events", produces="text/event-stream", head=False, also=(400, 501, 503))
async def events(call: Call, headers: EventsHeaders, query: EventsQuery) -> web.StreamResponse:
    """Watch works change.

    Events: `generation` (a record), `deleted` (`{id, rev}`), `reset` (forget everything: a snapshot
    follows). Their `id` is the rev to go on from. Without one there is a snapshot first. The stream
    ends with the token.
    """
    after = headers.last_event_id if headers.last_event_id is not None else query.last_event_id
    stream = _Stream(call.request)
    refusal: ReelgateError | None = None
    with suppress(TimeoutError):
        async with asyncio.timeout(_seconds_left()) as limit, asyncio.TaskGroup() as group:
            beside = (
                group.create_task(stream.keep_alive()),
                group.create_task(_end_on(call.stopping, limit)),
            )
            refusal = await _copy(call.clients.generations.watch(after or 0), stream)
            for task in beside:
                task.cancel()
    if refusal is not None:
        if not stream.response.prepared:
            raise refusal
        log.info("event_stream_ended", reason=refusal.reason)
    return await stream.close()


class _Stream:
    """A response that opens with its first event."""

    def __init__(self, request: web.Request) -> None:
        self.response = web.StreamResponse(headers=_HEADERS)
        self._request = request
        self._one_at_a_time = asyncio.Lock()

    async def send(self, data: bytes) -> None:
        """Writes one event. Raises ConnectionError when nobody listens any more."""
        async with self._one_at_a_time:
            if not self.response.prepared:
                await self.response.prepare(self._request)
                data = b"retry: 2000\n\n" + data
            await self.response.write(data)

    async def keep_alive(self) -> None:
        """Writes comments, so that neither side takes a quiet stream for a dead one."""
        with suppress(ConnectionError):
            await asyncio.sleep(_OPEN_SECONDS)
            while True:
                await self.send(b": still here\n\n")
                await asyncio.sleep(_COMMENT_SECONDS)

    async def close(self) -> web.StreamResponse:
        """The response, opened in any case."""
        with suppress(ConnectionError):
            await self.send(b"")
        return self.response


async def _copy(changes: AsyncIterator[Change], stream: _Stream) -> ReelgateError | None:
    """Sends every change; returns why there are no more."""
    async with aclosing(changes):  # type: ignore[type-var] # a generator
        try:
            async for change in changes:
                await stream.send(_event(change))
        except ReelgateError as error:
            return error
        except ConnectionError:
            return None
    return None


async def _end_on(stopping: asyncio.Event, limit: asyncio.Timeout) -> None:
    await stopping.wait()
    limit.reschedule(asyncio.get_running_loop().time())


def _seconds_left() -> float | None:
    """How long the token lives. The gateway has checked it by the time this matters."""
    try:
        claims = jwt.decode(context.bearer_token.get(), options={"verify_signature": False})
        return max(0.0, float(claims["exp"]) - time.time())
    except (jwt.InvalidTokenError, KeyError, TypeError, ValueError):
        return None


def _event(change: Change) -> bytes:
    match change:
        case Changed(record):
            return _lines("generation", record, record["rev"])
        case Deleted(record):
            return _lines("deleted", record, record["rev"])
        case Reset():
            return b"event: reset\ndata: {}\n\n"
        case Heartbeat(rev):
            # An id alone is remembered by a browser and shown to nobody.
            return b"id: %d\n\n" % rev


def _lines(name: str, record: object, rev: int) -> bytes:
    data = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
    return f"event: {name}\nid: {rev}\ndata: {data}\n\n".encode()

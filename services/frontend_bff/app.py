"""The application: the table of routes, what happens around each of them, and the server."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from services.frontend_bff import docs, observation, problems, refusals, security
from services.frontend_bff.clients import Clients, open_clients
from services.frontend_bff.link_origins import LinkOrigins
from services.frontend_bff.routes import TABLE
from services.frontend_bff.routing import Call, Route
from services.frontend_bff.sessions import ApiKeys, Cookies, access_token
from services.frontend_bff.settings import Settings
from services.frontend_bff.web_ui import WebUi
from services.kernel import context
from services.kernel.errors import ReelgateError
from services.kernel.runtime import background

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_MAX_BODY_BYTES: Final = 1024 * 1024
_DRAIN_SECONDS: Final = 20.0


@asynccontextmanager
async def serve(settings: Settings, stopping: asyncio.Event) -> AsyncIterator[int]:
    """Serves while the block runs; yields the port. At its end requests get 20 s to finish; streams end at once."""
    async with (
        open_clients(
            settings.gateway_address, settings.storage_address, settings.quota_address
        ) as clients,
        background() as work,
    ):
        origins = LinkOrigins(clients.storage)
        work.start(origins.follow())
        app = make_app(settings, clients, origins, stopping)
        # A reader that hangs up ends what was done for him alone; see `_to_its_end` for the rest.
        runner = web.AppRunner(
            app,
            access_log=None,
            logger=observation.SERVER_LOG,
            handler_cancellation=True,
            shutdown_timeout=_DRAIN_SECONDS,
        )
        await runner.setup()
        host, _, port = settings.listen.rpartition(":")
        site = web.TCPSite(runner, host.strip("[]"), int(port))
        await site.start()
        try:
            yield runner.addresses[0][1]
        finally:
            stopping.set()
            await runner.cleanup()


def make_app(
    settings: Settings, clients: Clients, origins: LinkOrigins, stopping: asyncio.Event
) -> web.Application:
    """The application, ready to be served."""
    cookies = Cookies(is_https=settings.is_https)
    keys = ApiKeys(clients.identity)
    cors = security.Cors(settings.cors_origins.split(",") if settings.cors_origins else ())
    same_origin = security.SameOrigin(cookies, settings.public_url)

    async def put_headers(request: web.Request, response: web.StreamResponse) -> None:
        headers = response.headers
        headers.popall("Server", None)
        headers["X-Request-Id"] = context.request_id.get()
        security.put_headers(headers, link_origins=origins.current, is_https=settings.is_https)
        cors.put_headers(request, headers)

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        preflight = cors.preflight(request)
        if preflight is not None:
            return preflight
        same_origin.check(request)
        return await handler(request)

    def serving(route: Route) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            call = Call(request, clients, cookies, stopping)
            try:
                if route.needs_token:
                    context.bearer_token.set(await access_token(request, cookies, keys))
                if route.method == "GET":
                    return await route.serve(call)
                return await _to_its_end(route.serve(call))
            except ReelgateError as error:
                response = problems.answer(error)
                for put in call.answer_cookies:
                    put(response)
                return response

        return handle

    app = web.Application(
        middlewares=[observation.observed, refusals.explained(WebUi(settings.web_dir)), guard],
        client_max_size=_MAX_BODY_BYTES,
    )
    app.on_response_prepare.append(put_headers)
    for route in TABLE:
        handler = serving(route)
        # By default a variable does not match braces; an id that is no id is to be told so.
        path = re.sub(r"\{(\w+)\}", r"{\1:[^/]+}", route.path)
        app.router.add_route(route.method, path, handler)
        if route.head:
            app.router.add_route("HEAD", path, handler)
    docs.add_to(app)
    return app


_unattended: set[asyncio.Future[web.StreamResponse]] = set()


async def _to_its_end(change: Awaitable[web.StreamResponse]) -> web.StreamResponse:
    """Waits for a change. A caller that hangs up does not stop it half-way."""
    task = asyncio.ensure_future(change)
    _unattended.add(task)
    task.add_done_callback(_forget)
    return await asyncio.shield(task)


def _forget(task: asyncio.Future[web.StreamResponse]) -> None:
    _unattended.discard(task)
    if not task.cancelled():
        task.exception()  # nobody is left to tell

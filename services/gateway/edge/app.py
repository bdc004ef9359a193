"""The edge's routes, and serving them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from aiohttp import web

from services.gateway.catalogue import Catalogue
from services.gateway.edge.around import around
from services.gateway.edge.auth import KeyGate
from services.gateway.identity import Identity
from services.gateway.offer import Offer
from services.gateway.store.accounts import AccountStore

_BODY_LIMIT_BYTES: Final = 256 * 1024 * 1024
_DRAIN_SECONDS: Final = 20.0
# The dialect wants a time for each model, and programs look at nothing but its type: 2025-01-01.
_MODEL_CREATED: Final = 1_735_689_600


class Routes:
    """What the edge offers."""

    def __init__(self, gate: KeyGate, offer: Offer) -> None:
        self._gate = gate
        self._offer = offer

    def add_to(self, app: web.Application) -> None:
        """Adds all of it."""
        for path in ("/healthz", "/health"):
            app.router.add_get(path, self.health)
        for path in ("/v1/models", "/sora/v1/models"):
            app.router.add_get(path, self.models)

    async def health(self, _: web.Request) -> web.Response:
        """The process answers."""
        return web.json_response({"status": "healthy"})

    async def models(self, request: web.Request) -> web.Response:
        """What the key may ask for (C1, C6)."""
        key = await self._gate.key_of(request.headers.get("Authorization", ""))
        data: list[dict[str, Any]] = [
            {
                "id": model.id,
                "object": "model",
                "created": _MODEL_CREATED,
                "owned_by": "reelgate",
            }
            for model in await self._offer.models()
            if not key.models or model.id in key.models
        ]
        return web.json_response({"object": "list", "data": data})


def make_app(identity: Identity, catalogue: Catalogue, accounts: AccountStore) -> web.Application:
    """The application, to be served."""
    app = web.Application(middlewares=[around], client_max_size=_BODY_LIMIT_BYTES)
    app.on_response_prepare.append(_anonymous)
    Routes(KeyGate(identity.api_keys), Offer(catalogue, accounts)).add_to(app)
    return app


async def _anonymous(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "reelgate"


@asynccontextmanager
async def serving(
    listen: str, app: web.Application, *, drain_seconds: float = _DRAIN_SECONDS
) -> AsyncIterator[int]:
    """Serves while the block runs; yields the port. At its end requests in flight have `drain_seconds`."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=drain_seconds)
    await runner.setup()
    try:
        host, _, port = listen.rpartition(":")
        await web.TCPSite(runner, host.strip("[]"), int(port)).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()

"""A real BFF on a socket, and servers that speak the protos below it."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from services.frontend_bff.app import serve
from services.frontend_bff.settings import Settings
from services.kernel.grpc_server import make_server, serving
from services.kernel.tokens import Signer, Verifier, generate_signing_key, public_jwks
from tests.contract.frontend_bff.fakes import PUBLIC, Backend
from tests.contract.frontend_bff.messages import USER

_KEY = generate_signing_key()


@dataclass
class Bff:
    """A running BFF and a client without cookies of its own."""

    url: str
    http: aiohttp.ClientSession
    stopping: asyncio.Event

    async def call(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **options: Any
    ) -> aiohttp.ClientResponse:
        """A request as the user, unless `headers` say otherwise; the answer's body is read."""
        sent = dict(headers) if headers is not None else {"Authorization": f"Bearer {token()}"}
        options.setdefault("allow_redirects", False)
        response = await self.http.request(method, self.url + path, headers=sent, **options)
        await response.read()
        return response


def token(lifetime_seconds: float = 900) -> str:
    """A token of the user."""
    audience = ["gateway", "storage", "quota"]
    return Signer(_KEY).sign(USER, audience=audience, lifetime_seconds=lifetime_seconds)


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Waits until `condition` holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "this did not happen in time"
        await asyncio.sleep(0.01)


@pytest.fixture(scope="session")
def jwks_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("jwks") / "jwks.json"
    file.write_text(json.dumps(public_jwks(_KEY)))
    return file


@pytest.fixture
def backend() -> Backend:
    return Backend()


@pytest.fixture
async def services(backend: Backend, jwks_file: Path) -> AsyncIterator[str]:
    """The address of a server that offers gateway, storage and quota."""
    server = make_server(Verifier(jwks_file, "gateway"), PUBLIC)
    backend.add_to(server)
    async with serving(server, "127.0.0.1:0", (), drain_seconds=0) as port:
        yield f"127.0.0.1:{port}"


@pytest.fixture
async def start(services: str, tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[Bff]]]:
    """Starts a BFF with settings of the test's own."""
    async with AsyncExitStack() as stack:

        async def started(**changes: str) -> Bff:
            values = {
                "REELGATE_BFF_LISTEN": "127.0.0.1:0",
                "REELGATE_GATEWAY_ADDRESS": services,
                "REELGATE_STORAGE_ADDRESS": services,
                "REELGATE_QUOTA_ADDRESS": services,
                "REELGATE_BFF_WEB_DIR": str(tmp_path / "dist"),
            }
            settings = Settings(_env_file=None, **values | changes)  # type: ignore[arg-type]
            stopping = asyncio.Event()
            port = await stack.enter_async_context(serve(settings, stopping))
            http = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
            await stack.enter_async_context(http)
            return Bff(f"http://127.0.0.1:{port}", http, stopping)

        yield started


@pytest.fixture
async def bff(start: Callable[..., Awaitable[Bff]]) -> Bff:
    return await start()

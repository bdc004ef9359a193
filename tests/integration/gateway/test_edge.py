"""The first step of the OpenAI edge: health, the key check, the models (C1, C4, C5, C6, J1)."""

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import product
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import openai
import pytest

from services.gateway.catalogue import Catalogue
from services.gateway.edge import app as edge_app
from services.gateway.edge import auth
from services.gateway.identity import Identity
from services.gateway.people import NewApiKey
from services.gateway.store.accounts import AccountStore
from services.gateway.store.people import PeopleStore
from services.kernel.postgres import Pool
from services.kernel.sealing import KeyRing
from services.kernel.tokens import Signer, generate_signing_key

_SEALING_KEY = "tests:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


@dataclass(frozen=True)
class Edge:
    """A running edge, and what belongs to it."""

    url: str
    secret: str
    owner: UUID
    identity: Identity
    pool: Pool
    client: aiohttp.ClientSession

    async def get(self, path: str, *, key: str | None = None, **headers: str) -> Any:
        """Status, headers and JSON of an answer."""
        return await self.ask("GET", path, key=key, **headers)

    async def ask(self, method: str, path: str, *, key: str | None = None, **headers: str) -> Any:
        """Status, headers and JSON of an answer."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            sent["Authorization"] = f"Bearer {key}"
        async with self.client.request(method, self.url + path, headers=sent) as answer:
            body = await answer.json() if answer.content_length else None
            return answer.status, answer.headers, body


@pytest.fixture
async def edge(pool: Pool, owner: UUID) -> AsyncIterator[Edge]:
    """With one account that serves everything, and one key."""
    accounts = AccountStore(pool, KeyRing(_SEALING_KEY))
    await accounts.seed(
        "Studio",
        dialect="openai_videos",
        base_url="http://127.0.0.1:1",
        credential="secret",
        options={},
    )
    identity = Identity(
        PeopleStore(pool), Signer(generate_signing_key()), registration_enabled=False
    )
    _, secret = await identity.api_keys.create(owner, NewApiKey("Laptop"))
    app = edge_app.make_app(identity, Catalogue.default(), accounts)
    async with (
        edge_app.serving("127.0.0.1:0", app, drain_seconds=1) as port,
        aiohttp.ClientSession() as client,
    ):
        yield Edge(f"http://127.0.0.1:{port}", secret, owner, identity, pool, client)


@pytest.mark.parametrize("path", ["/healthz", "/health"])
async def test_health_needs_no_key(edge: Edge, path: str) -> None:
    status, _, body = await edge.get(path)
    assert (status, body) == (200, {"status": "healthy"})


@pytest.mark.parametrize("path", ["/v1/models", "/sora/v1/models"])
async def test_a_key_opens_the_list_of_models(edge: Edge, path: str) -> None:
    status, _, body = await edge.get(path, key=edge.secret)
    assert status == 200
    assert body["object"] == "list"
    assert body["data"][0] == {
        "id": "sora2-landscape-10s",
        "object": "model",
        "created": body["data"][0]["created"],
        "owned_by": "reelgate",
    }
    assert isinstance(body["data"][0]["created"], int)


async def test_the_openai_sdk_lists_the_models(edge: Edge) -> None:
    """C4: the official client, unchanged but for its address."""
    async with openai.AsyncOpenAI(api_key=edge.secret, base_url=f"{edge.url}/v1") as client:
        models = [model async for model in client.models.list()]
    assert "sora2-portrait-25s" in {model.id for model in models}
    assert {model.object for model in models} == {"model"}


async def test_the_openai_sdk_understands_a_refusal(edge: Edge) -> None:
    async with openai.AsyncOpenAI(
        api_key="rg-" + "x" * 43, base_url=f"{edge.url}/v1", max_retries=0
    ) as client:
        with pytest.raises(openai.AuthenticationError) as refused:
            await client.models.list()
    assert refused.value.code == "invalid_api_key"
    assert refused.value.request_id


async def test_without_a_good_key_the_answer_is_401(edge: Edge) -> None:
    for authorization in (
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer rg-",
        "Bearer rg-" + "x" * 43,
        "Bearer sk-" + "x" * 43,
        "Basic cmc6cmc=",
        "Bearer rg-" + "x" * 5000,
    ):
        sent = {} if authorization is None else {"Authorization": authorization}
        status, headers, body = await edge.get("/v1/models", **sent)
        assert status == 401
        assert set(body) == {"error"}
        assert set(body["error"]) == {"message", "type", "code", "param"}
        assert body["error"]["type"] == "invalid_request_error"
        assert body["error"]["code"] == "invalid_api_key"
        assert body["error"]["param"] is None
        assert headers["WWW-Authenticate"].startswith("Bearer")
        assert "xxx" not in body["error"]["message"]


async def test_the_scheme_is_read_without_regard_to_case(edge: Edge) -> None:
    status, *_ = await edge.get("/v1/models", Authorization=f"bEARER  {edge.secret}")
    assert status == 200


async def test_a_key_with_a_list_of_models_sees_no_others(edge: Edge) -> None:
    """C6."""
    _, secret = await edge.identity.api_keys.create(
        edge.owner, NewApiKey("Phone", models=("sora2-portrait-10s", "unheard-of"))
    )
    _, _, body = await edge.get("/v1/models", key=secret)
    assert [model["id"] for model in body["data"]] == ["sora2-portrait-10s"]


async def test_a_key_is_looked_up_once_and_forgotten_after_a_moment(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "REMEMBERED_SECONDS", 0.5)
    looked_up: list[str] = []
    known = edge.identity.api_keys.known

    async def counting(secret: str) -> Any:
        looked_up.append(secret)
        return await known(secret)

    monkeypatch.setattr(edge.identity.api_keys, "known", counting)
    for _ in range(5):
        assert (await edge.get("/v1/models", key=edge.secret))[0] == 200
    assert looked_up == [edge.secret]
    [key] = await edge.identity.api_keys.list(edge.owner)
    await edge.identity.api_keys.revoke(edge.owner, key.id)
    async with asyncio.timeout(5):
        while (await edge.get("/v1/models", key=edge.secret))[0] == 200:
            await asyncio.sleep(0.1)
    assert (await edge.get("/v1/models", key=edge.secret))[0] == 401


async def test_an_unknown_path_is_404_with_and_without_a_key(edge: Edge) -> None:
    paths = ("/", "/v1", "/v1/models/", "/v1/nothing", "/metrics", "/" + "x" * 4000)
    for method, path, key in product(("GET", "POST"), paths, (edge.secret, None)):
        status, _, body = await edge.ask(method, path, key=key)
        assert status == 404
        assert body["error"]["type"] == "invalid_request_error"
        assert body["error"]["code"] == "unknown_path"
        assert body["error"]["message"].startswith("Unknown path /")
        assert len(body["error"]["message"]) < 300


async def test_a_wrong_method_is_405_and_says_which_are_right(edge: Edge) -> None:
    status, headers, body = await edge.ask("DELETE", "/v1/models", key=edge.secret)
    assert status == 405
    assert body["error"]["code"] == "method_not_allowed"
    assert headers["Allow"] == "GET, HEAD"


async def test_every_answer_has_a_request_id(edge: Edge) -> None:
    for path in ("/healthz", "/v1/models", "/v1/nothing"):
        _, headers, _ = await edge.get(path)
        assert UUID(headers["X-Request-Id"]).version == 7
        mine = str(uuid4())
        _, headers, _ = await edge.get(path, X_Request_Id=mine)
        assert headers["X-Request-Id"] == mine
        for bad in ("has spaces", "x" * 65, "<script>"):
            _, headers, _ = await edge.get(path, X_Request_Id=bad)
            assert UUID(headers["X-Request-Id"]).version == 7


async def test_an_answer_does_not_name_its_server(edge: Edge) -> None:
    for path in ("/healthz", "/v1/models", "/v1/nothing"):
        _, headers, _ = await edge.get(path)
        assert headers["Server"] == "reelgate"


async def test_while_the_database_is_away_the_answer_is_503(edge: Edge) -> None:
    await edge.pool.close()
    status, headers, body = await edge.get("/v1/models", key=edge.secret)
    assert status == 503
    assert body["error"]["type"] == "server_error"
    assert int(headers["Retry-After"]) >= 1
    assert (await edge.get("/healthz"))[0] == 200


async def test_what_nobody_foresaw_is_500_without_its_text(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(secret: str) -> None:
        raise RuntimeError("a secret detail")

    monkeypatch.setattr(edge.identity.api_keys, "known", broken)
    status, headers, body = await edge.get("/v1/models", key=edge.secret)
    assert status == 500
    assert "secret detail" not in body["error"]["message"]
    assert headers["X-Request-Id"] in body["error"]["message"]


async def test_what_is_no_http_is_refused(edge: Edge) -> None:
    host, port = edge.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), family=socket.AF_INET)
    writer.write(b"this is not http\r\n\r\n")
    assert b" 400 " in await reader.readline()
    writer.close()
    await writer.wait_closed()

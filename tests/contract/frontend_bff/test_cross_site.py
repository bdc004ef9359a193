"""What a browser has to prove before it may change anything (CSRF)."""

from collections.abc import Awaitable, Callable

import pytest

from reelgate.gateway.v1 import generation_pb2, identity_pb2
from tests.contract.frontend_bff import messages
from tests.contract.frontend_bff.conftest import Bff, token
from tests.contract.frontend_bff.every_route import CHANGING_ROWS
from tests.contract.frontend_bff.fakes import Backend
from tests.contract.frontend_bff.messages import GENERATION

Start = Callable[..., Awaitable[Bff]]
_CREDENTIALS = {"email": "ada@example.org", "password": "correct horse"}


@pytest.fixture(autouse=True)
def known(backend: Backend) -> None:
    backend.answers |= {
        "GetMe": identity_pb2.GetMeResponse(user=messages.user()),
        "DeleteGeneration": generation_pb2.DeleteGenerationResponse(),
    }


@pytest.mark.parametrize(
    ("proof", "allowed"),
    [
        ({}, False),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "HOST"}, False),
        ({"Origin": "HOST"}, True),
        ({"Origin": "https://reelgate.example"}, True),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "http://[broken"}, False),
    ],
)
async def test_a_change_with_cookies_needs_proof_of_a_page_of_ours(
    start: Start, backend: Backend, proof: dict[str, str], allowed: bool
) -> None:
    bff = await start(REELGATE_PUBLIC_URL="https://reelgate.example")
    sent = {name: bff.url if value == "HOST" else value for name, value in proof.items()}
    headers = {"Cookie": f"__Host-reelgate_access={token()}"} | sent
    answer = await bff.call("DELETE", f"/api/v1/sora/generations/{GENERATION}", headers=headers)

    assert answer.status == (204 if allowed else 403)
    assert len(backend.asked("DeleteGeneration")) == allowed
    if not allowed:
        assert (await answer.json())["code"] == "cross_site"


@pytest.mark.parametrize("method", sorted({row.method for row in CHANGING_ROWS}))
async def test_a_page_of_a_listed_origin_may_use_every_method_with_a_token(
    start: Start, method: str
) -> None:
    bff = await start(REELGATE_BFF_CORS_ORIGINS="https://console.example")
    asked = {"Origin": "https://console.example", "Access-Control-Request-Method": method}
    answer = await bff.call("OPTIONS", f"/api/v1/admin/users/{messages.USER}", headers=asked)

    assert answer.status == 204
    assert method in answer.headers["Access-Control-Allow-Methods"].split(", ")


async def test_a_change_with_a_bearer_token_needs_no_other_proof(bff: Bff) -> None:
    headers = {"Authorization": f"Bearer {token()}", "Origin": "https://evil.example"}
    answer = await bff.call("DELETE", f"/api/v1/sora/generations/{GENERATION}", headers=headers)

    assert answer.status == 204


async def test_another_site_can_not_log_a_browser_in(bff: Bff, backend: Backend) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    answer = await bff.call("POST", "/api/v1/auth/login", json=_CREDENTIALS, headers=headers)

    assert answer.status == 403
    assert backend.asked("Login") == []


async def test_looking_needs_no_proof(bff: Bff) -> None:
    headers = {"Cookie": f"reelgate_access={token()}", "Sec-Fetch-Site": "cross-site"}
    answer = await bff.call("GET", "/api/v1/auth/me", headers=headers)

    assert answer.status == 200

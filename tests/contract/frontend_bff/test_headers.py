"""What every answer says to browsers: policies, ids, other origins."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from yarl import URL

from reelgate.storage.v1 import storage_pb2
from tests.contract.frontend_bff.conftest import Bff, until
from tests.contract.frontend_bff.fakes import Backend

Start = Callable[..., Awaitable[Bff]]
_PAGE = "https://app.example"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/healthz"),
        ("GET", "/"),
        ("GET", "/api/docs"),
        ("GET", "/nothing.png"),
        ("GET", "/api/nothing"),
        ("POST", "/healthz"),
        ("GET", "/api/v1/auth/me"),
        ("POST", "/api/v1/auth/login"),
    ],
)
async def test_every_answer_protects_the_page(bff: Bff, method: str, path: str) -> None:
    answer = await bff.call(method, path, headers={})

    assert answer.headers["X-Request-Id"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "camera=()" in answer.headers["Permissions-Policy"]
    assert "Server" not in answer.headers
    assert "Strict-Transport-Security" not in answer.headers
    policy = answer.headers["Content-Security-Policy"].split("; ")
    for directive in (
        "default-src 'self'",
        "script-src 'self'",
        "style-src 'self'",
        "font-src 'self'",
        "connect-src 'self'",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "img-src 'self' blob: data:",
        "media-src 'self' blob:",
    ):
        assert directive in policy


async def test_the_policy_lets_the_page_show_what_links_point_to(
    start: Start, backend: Backend
) -> None:
    origins = ["http://127.0.0.1:9000", "https://cdn.example", "evil; script-src *", "javascript:1"]
    backend.answers["GetStatus"] = storage_pb2.GetStatusResponse(link_origins=origins)
    bff = await start()
    await until(lambda: len(backend.asked("GetStatus")) == 1)
    answer = await bff.call("GET", "/healthz")

    policy = answer.headers["Content-Security-Policy"]
    assert "img-src 'self' blob: http://127.0.0.1:9000 https://cdn.example data:;" in policy
    assert "media-src 'self' blob: http://127.0.0.1:9000 https://cdn.example;" in policy
    assert "evil" not in policy


async def test_what_is_no_http_is_400_and_is_not_quoted_in_the_log(
    bff: Bff, caplog: pytest.LogCaptureFixture
) -> None:
    """J2."""
    port = URL(bff.url).port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nAuthorization Bearer secret\r\n\r\n")
    answer = await reader.read()
    writer.close()

    assert answer.startswith(b"HTTP/1.0 400")
    assert "secret" not in caplog.text


async def test_other_origins_may_not_call_unless_they_are_listed(bff: Bff) -> None:
    answer = await bff.call("GET", "/api/v1/auth/me", headers={"Origin": _PAGE})
    preflight = await bff.call("OPTIONS", "/api/v1/auth/me", headers=_ASKING)

    assert "Access-Control-Allow-Origin" not in answer.headers
    assert "Access-Control-Allow-Origin" not in preflight.headers
    assert preflight.status == 405


async def test_a_listed_origin_may_call_with_a_bearer_token(start: Start) -> None:
    bff = await start(REELGATE_BFF_CORS_ORIGINS=f"https://other.example, {_PAGE}/")
    preflight = await bff.call("OPTIONS", "/api/v1/auth/me", headers=_ASKING)
    answer = await bff.call("GET", "/api/v1/auth/me", headers={"Origin": _PAGE})
    stranger = await bff.call("GET", "/api/v1/auth/me", headers={"Origin": "https://evil.example"})

    assert preflight.status == 204
    assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]
    for allowed in (preflight, answer):
        assert allowed.headers["Access-Control-Allow-Origin"] == _PAGE
        assert "Access-Control-Allow-Credentials" not in allowed.headers
    assert answer.headers["Vary"] == "Origin"
    assert "Access-Control-Allow-Origin" not in stranger.headers


_ASKING = {
    "Origin": _PAGE,
    "Access-Control-Request-Method": "GET",
    "Access-Control-Request-Headers": "authorization",
}

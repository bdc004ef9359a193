"""Accounts, sessions, API keys and what a browser has to prove (H1)."""

from collections.abc import Awaitable, Callable
from http.cookies import Morsel, SimpleCookie

import pytest
from google.protobuf.duration_pb2 import Duration

from reelgate.gateway.v1 import generation_pb2, identity_pb2
from reelgate.storage.v1 import storage_pb2
from services.kernel.errors import FailedPrecondition, ResourceExhausted, Unauthenticated
from tests.contract.frontend_bff import messages
from tests.contract.frontend_bff.conftest import Bff, token
from tests.contract.frontend_bff.fakes import Backend
from tests.contract.frontend_bff.messages import USER

Start = Callable[..., Awaitable[Bff]]
_CREDENTIALS = {"email": "ada@example.org", "password": "correct horse"}
_PUBLIC_USER = {
    "id": USER,
    "email": "ada@example.org",
    "role": "user",
    "created_at": "2025-10-09T08:53:20Z",
}


@pytest.fixture(autouse=True)
def known(backend: Backend) -> None:
    user, tokens = messages.user(), messages.tokens()
    backend.answers |= {
        "Register": identity_pb2.RegisterResponse(user=user),
        "Login": identity_pb2.LoginResponse(user=user, tokens=tokens),
        "Refresh": identity_pb2.RefreshResponse(user=user, tokens=messages.tokens("a2", "r2")),
        "Logout": identity_pb2.LogoutResponse(),
        "GetMe": identity_pb2.GetMeResponse(user=user),
        "DeleteGeneration": generation_pb2.DeleteGenerationResponse(),
    }


async def test_a_login_answers_with_a_token_and_sets_both_cookies(
    bff: Bff, backend: Backend
) -> None:
    answer = await bff.call("POST", "/api/v1/auth/login", json=_CREDENTIALS, headers={})

    assert answer.status == 200
    assert await answer.json() == {
        "access_token": "access",
        "token_type": "Bearer",
        "expires_in": 900,
        "user": _PUBLIC_USER,
    }
    assert answer.headers["Cache-Control"] == "no-store"
    access, refresh = _cookies(answer.headers.getall("Set-Cookie"))
    assert (access.key, access.value, access["path"]) == ("reelgate_access", "access", "/")
    assert (refresh.key, refresh.value) == ("reelgate_refresh", "refresh")
    assert refresh["path"] == "/api/v1/auth"
    assert (access["max-age"], refresh["max-age"]) == ("900", "86400")
    for cookie in (access, refresh):
        assert cookie["httponly"] is True
        assert cookie["samesite"] == "Strict"
        assert not cookie["secure"]
        assert not cookie["domain"]
    assert backend.asked("Login")[0].password == "correct horse"


async def test_over_https_the_cookies_are_bound_to_tls_and_host(start: Start) -> None:
    bff = await start(REELGATE_PUBLIC_URL="https://reelgate.example")
    answer = await bff.call("POST", "/api/v1/auth/login", json=_CREDENTIALS, headers={})

    access, refresh = _cookies(answer.headers.getall("Set-Cookie"))
    assert access.key == "__Host-reelgate_access"
    assert refresh.key == "__Secure-reelgate_refresh"
    assert access["secure"] is True
    assert refresh["secure"] is True
    assert answer.headers["Strict-Transport-Security"].startswith("max-age=")


async def test_a_wrong_password_is_401_and_sets_nothing(bff: Bff, backend: Backend) -> None:
    backend.answers["Login"] = Unauthenticated("Wrong.", reason="BAD_CREDENTIALS")
    answer = await bff.call("POST", "/api/v1/auth/login", json=_CREDENTIALS, headers={})

    assert answer.status == 401
    assert (await answer.json())["code"] == "bad_credentials"
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert "Set-Cookie" not in answer.headers


async def test_too_many_logins_are_429_and_say_when_to_come_back(
    bff: Bff, backend: Backend
) -> None:
    backend.answers["Login"] = ResourceExhausted(
        "Wait.", reason="TOO_MANY_LOGINS", retry_after=29.2
    )
    answer = await bff.call("POST", "/api/v1/auth/login", json=_CREDENTIALS, headers={})

    assert (answer.status, answer.headers["Retry-After"]) == (429, "30")


async def test_a_registration_makes_a_user(bff: Bff, backend: Backend) -> None:
    answer = await bff.call("POST", "/api/v1/auth/register", json=_CREDENTIALS, headers={})

    assert answer.status == 201
    assert await answer.json() == _PUBLIC_USER


async def test_a_closed_registration_is_403(bff: Bff, backend: Backend) -> None:
    backend.answers["Register"] = FailedPrecondition("Closed.", reason="REGISTRATION_CLOSED")
    answer = await bff.call("POST", "/api/v1/auth/register", json=_CREDENTIALS, headers={})

    assert answer.status == 403
    assert (await answer.json())["code"] == "registration_closed"


async def test_a_browser_is_known_by_its_cookie(bff: Bff, backend: Backend) -> None:
    headers = {"Cookie": f"reelgate_access={token()}"}
    answer = await bff.call("GET", "/api/v1/auth/me", headers=headers)

    assert await answer.json() == _PUBLIC_USER
    assert backend.subjects("GetMe") == [USER]


async def test_a_bearer_token_wins_over_a_cookie(bff: Bff) -> None:
    headers = {"Cookie": "reelgate_access=stale", "Authorization": f"bearer {token()}"}
    answer = await bff.call("GET", "/api/v1/auth/me", headers=headers)

    assert answer.status == 200


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "unauthenticated"),
        ({"Authorization": "Bearer"}, "unauthenticated"),
        ({"Authorization": "Basic YTpi"}, "unauthenticated"),
        ({"Authorization": "Bearer nonsense"}, "token_invalid"),
        ({"Authorization": "Bearer ü"}, "token_invalid"),
        ({"Authorization": "Bearer " + "x" * 8000}, "token_invalid"),
        ({"Cookie": "reelgate_access=nonsense"}, "token_invalid"),
        ({"Authorization": f"Bearer {token(-60)}"}, "token_expired"),
    ],
)
async def test_without_a_good_token_the_answer_is_401(
    bff: Bff, headers: dict[str, str], code: str
) -> None:
    answer = await bff.call("GET", "/api/v1/auth/me", headers=headers)

    assert answer.status == 401
    assert (await answer.json())["code"] == code
    assert "WWW-Authenticate" in answer.headers


async def test_a_bad_token_is_401_even_where_the_service_asks_for_none(
    bff: Bff, backend: Backend
) -> None:
    backend.answers["GetStatus"] = storage_pb2.GetStatusResponse()
    headers = {"Authorization": "Bearer nonsense"}
    answer = await bff.call("GET", "/api/v1/sora/storage-status", headers=headers)

    assert answer.status == 401


async def test_who_one_is_comes_before_what_one_sent(bff: Bff) -> None:
    answer = await bff.call("POST", "/api/v1/sora/generate", data=b"{", headers={})

    assert answer.status == 401


async def test_a_refresh_gives_new_cookies(bff: Bff, backend: Backend) -> None:
    headers = {"Cookie": "reelgate_refresh=refresh", "Sec-Fetch-Site": "same-origin"}
    answer = await bff.call("POST", "/api/v1/auth/refresh", headers=headers)

    assert answer.status == 200
    assert (await answer.json())["access_token"] == "a2"
    assert [one.value for one in _cookies(answer.headers.getall("Set-Cookie"))] == ["a2", "r2"]
    assert backend.asked("Refresh")[0].refresh_token == "refresh"


async def test_a_dead_refresh_token_takes_the_cookies_away(bff: Bff, backend: Backend) -> None:
    backend.answers["Refresh"] = Unauthenticated("Over.", reason="SESSION_ENDED")
    headers = {"Cookie": "reelgate_refresh=refresh", "Sec-Fetch-Site": "same-origin"}
    answer = await bff.call("POST", "/api/v1/auth/refresh", headers=headers)

    assert answer.status == 401
    assert [one["max-age"] for one in _cookies(answer.headers.getall("Set-Cookie"))] == ["0", "0"]


async def test_a_refresh_without_a_session_is_401(bff: Bff) -> None:
    answer = await bff.call("POST", "/api/v1/auth/refresh", headers={})

    assert answer.status == 401
    assert (await answer.json())["code"] == "no_session"


async def test_a_logout_ends_the_session_and_takes_the_cookies_away(
    bff: Bff, backend: Backend
) -> None:
    headers = {"Cookie": "reelgate_refresh=refresh", "Sec-Fetch-Site": "same-origin"}
    answer = await bff.call("POST", "/api/v1/auth/logout", headers=headers)

    assert answer.status == 204
    assert backend.asked("Logout")[0].refresh_token == "refresh"
    assert [one["max-age"] for one in _cookies(answer.headers.getall("Set-Cookie"))] == ["0", "0"]


async def test_an_api_key_is_traded_once_for_several_calls(bff: Bff, backend: Backend) -> None:
    backend.answers["ExchangeApiKey"] = identity_pb2.ExchangeApiKeyResponse(
        access_token=token(), access_lifetime=Duration(seconds=300)
    )
    headers = {"Authorization": "Bearer rg-demo-1"}
    for _ in range(3):
        assert (await bff.call("GET", "/api/v1/auth/me", headers=headers)).status == 200

    assert [one.api_key for one in backend.asked("ExchangeApiKey")] == ["rg-demo-1"]

    # Keys are told apart by all of their characters.
    await bff.call("GET", "/api/v1/auth/me", headers={"Authorization": "Bearer rg-demo-2"})
    assert len(backend.asked("ExchangeApiKey")) == 2


async def test_an_unknown_api_key_is_401(bff: Bff, backend: Backend) -> None:
    backend.answers["ExchangeApiKey"] = Unauthenticated("Unknown.", reason="BAD_API_KEY")
    headers = {"Authorization": "Bearer rg-demo-1"}
    answer = await bff.call("GET", "/api/v1/auth/me", headers=headers)

    assert answer.status == 401
    assert (await answer.json())["code"] == "bad_api_key"


def _cookies(lines: list[str]) -> list[Morsel[str]]:
    return [next(iter(SimpleCookie(line).values())) for line in lines]

"""Sessions (H1): a chain of refresh tokens, of which only the newest works."""

import asyncio
import base64
from dataclasses import replace

import pytest

from reelgate.gateway.v1 import identity_pb2
from services.gateway.refresh_tokens import RefreshToken
from services.gateway.store.people import PeopleStore
from services.kernel.errors import Unauthenticated
from tests.contract.gateway.identity.running import PASSWORD, Gateway

pytestmark = pytest.mark.usefixtures("quick_hashes")


async def refreshed(gateway: Gateway, token: str) -> identity_pb2.Tokens:
    """The next tokens."""
    tokens: identity_pb2.Tokens = (await gateway.stranger.Refresh(refresh_token=token)).tokens
    return tokens


async def is_refused(gateway: Gateway, token: str) -> bool:
    """The token does not work."""
    try:
        await refreshed(gateway, token)
    except Unauthenticated as error:
        return error.reason == "BAD_REFRESH_TOKEN"
    return False


async def later(gateway: Gateway, seconds: int) -> None:
    """Lets time pass for all sessions."""
    await gateway.sql(
        "UPDATE sessions SET rotated_at = rotated_at - make_interval(secs => %s),"
        " expires_at = expires_at - make_interval(secs => %s)",
        seconds,
        seconds,
    )


@pytest.fixture
async def first(gateway: Gateway) -> str:
    """The first refresh token of a session."""
    await gateway.person()
    return (await gateway.login()).refresh_token


async def test_each_refresh_gives_the_next_pair(gateway: Gateway, first: str) -> None:
    token, seen = first, {first}
    for _ in range(5):
        answer = await gateway.stranger.Refresh(refresh_token=token)
        assert answer.user.email == "ada@example.com"
        assert (await gateway.bearer(answer.tokens.access_token).GetMe()).user == answer.user
        token = answer.tokens.refresh_token
        seen.add(token)
    assert len(seen) == 6


async def test_an_old_token_ends_the_session(gateway: Gateway, first: str) -> None:
    """Two hold what only one should: whoever of them is the thief, both have to log in."""
    second = (await refreshed(gateway, first)).refresh_token
    third = (await refreshed(gateway, second)).refresh_token
    assert await is_refused(gateway, first)
    assert await is_refused(gateway, third)
    assert await gateway.sql("SELECT id FROM sessions") == []


async def test_the_token_before_ends_the_session_when_it_comes_late(
    gateway: Gateway, first: str
) -> None:
    second = (await refreshed(gateway, first)).refresh_token
    await later(gateway, 11)
    assert await is_refused(gateway, first)
    assert await is_refused(gateway, second)


async def test_theft_in_one_session_does_not_end_another(gateway: Gateway, first: str) -> None:
    other = (await gateway.login()).refresh_token
    second = (await refreshed(gateway, first)).refresh_token
    await refreshed(gateway, second)
    assert await is_refused(gateway, first)
    assert not await is_refused(gateway, other)


async def test_two_tabs_that_refresh_at_once_go_on_with_the_same_token(
    gateway: Gateway, first: str
) -> None:
    for _ in range(10):
        tabs = await asyncio.gather(*(refreshed(gateway, first) for _ in range(5)))
        assert len({tab.refresh_token for tab in tabs}) == 1
        assert tabs[0].refresh_token != first
        first = tabs[0].refresh_token
    assert await gateway.sql("SELECT generation FROM sessions") == [(10,)]


async def test_a_page_reloaded_before_it_saw_the_answer_goes_on(
    gateway: Gateway, first: str
) -> None:
    lost = (await refreshed(gateway, first)).refresh_token
    await later(gateway, 9)
    assert (await refreshed(gateway, first)).refresh_token == lost
    assert not await is_refused(gateway, lost)


async def test_a_second_tabs_answer_does_not_prolong_the_first_ones_grace(
    gateway: Gateway, first: str
) -> None:
    await refreshed(gateway, first)
    await later(gateway, 6)
    await refreshed(gateway, first)
    await later(gateway, 6)
    assert await is_refused(gateway, first)


async def test_a_guessed_secret_is_refused_and_ends_nothing(gateway: Gateway, first: str) -> None:
    real = RefreshToken.parse(first)
    assert await is_refused(gateway, replace(real, secret=bytes(32)).text())
    assert await is_refused(gateway, replace(real, generation=7).text())
    assert await is_refused(gateway, RefreshToken.first(real.session_id).text())
    assert not await is_refused(gateway, first)


async def test_a_wrong_secret_of_the_token_before_is_not_taken_for_a_second_tab(
    gateway: Gateway, first: str
) -> None:
    await refreshed(gateway, first)
    assert await is_refused(gateway, replace(RefreshToken.parse(first), secret=bytes(32)).text())


@pytest.mark.parametrize(
    "token",
    ["", "x", "x" * 70, "x" * 100_000, "é" * 70, base64.urlsafe_b64encode(b"\xff" * 52).decode()],
)
async def test_what_never_was_a_token_is_refused(gateway: Gateway, token: str) -> None:
    assert await is_refused(gateway, token)
    await gateway.stranger.Logout(refresh_token=token)


async def test_a_session_ends_thirty_days_after_its_last_refresh(
    gateway: Gateway, first: str
) -> None:
    day = 86_400
    await later(gateway, 29 * day)
    second = (await refreshed(gateway, first)).refresh_token
    await later(gateway, 29 * day)
    third = (await refreshed(gateway, second)).refresh_token
    await later(gateway, 30 * day)
    assert await is_refused(gateway, third)


@pytest.mark.parametrize("refreshes", [0, 1, 3])
async def test_any_token_of_a_session_logs_out(
    gateway: Gateway, first: str, refreshes: int
) -> None:
    newest = first
    for _ in range(refreshes):
        newest = (await refreshed(gateway, newest)).refresh_token
    await gateway.stranger.Logout(refresh_token=first)
    assert await is_refused(gateway, newest)
    await gateway.stranger.Logout(refresh_token=first)


async def test_a_guessed_secret_logs_nobody_out(gateway: Gateway, first: str) -> None:
    await gateway.stranger.Logout(
        refresh_token=replace(RefreshToken.parse(first), secret=bytes(32)).text()
    )
    assert not await is_refused(gateway, first)


@pytest.mark.parametrize(
    "change", [{"disabled": True}, {"password": "another password"}, {"role": "ROLE_ADMIN"}]
)
async def test_a_ban_another_password_and_another_role_end_all_sessions(
    gateway: Gateway, first: str, change: dict[str, object]
) -> None:
    answer = await gateway.stranger.Refresh(refresh_token=first)
    await gateway.admin.UpdateUser(user_id=answer.user.id, **change)
    assert await is_refused(gateway, answer.tokens.refresh_token)
    assert await gateway.sql("SELECT id FROM sessions") == []


async def test_other_changes_leave_sessions_alone(gateway: Gateway, first: str) -> None:
    user = (await gateway.stranger.Refresh(refresh_token=first)).user
    group = (await gateway.admin.CreateGroup(name="Painters")).group
    await gateway.admin.UpdateUser(user_id=user.id, group_id=group.id, role="ROLE_USER")
    assert not await is_refused(gateway, first)


async def test_a_ban_in_the_midst_of_log_ins_leaves_no_session(gateway: Gateway) -> None:
    for number in range(5):
        email = f"{number}@example.com"
        user = await gateway.person(email)
        ban = gateway.admin.UpdateUser(user_id=user.id, disabled=True)
        logins = (gateway.stranger.Login(email=email, password=PASSWORD) for _ in range(6))
        await asyncio.gather(*logins, ban, return_exceptions=True)
    assert await gateway.sql("SELECT id FROM sessions") == []


async def test_the_database_alone_does_not_tell_a_working_token(
    gateway: Gateway, first: str
) -> None:
    await refreshed(gateway, first)
    [row] = await gateway.sql(
        "SELECT id, generation, secret_hash, previous_hash, salt FROM sessions"
    )
    session_id, generation, *stored = row
    for secret in stored:
        guess = RefreshToken(session_id, generation, bytes(secret))
        assert await is_refused(gateway, guess.text())
    assert RefreshToken.parse(first).secret not in [bytes(part) for part in stored]


async def test_housekeeping_forgets_what_is_over(gateway: Gateway, first: str) -> None:
    await later(gateway, 31 * 86_400)
    kept = (await gateway.login()).refresh_token
    with pytest.raises(Unauthenticated):
        await gateway.login("old@example.com", "a wrong password")
    await gateway.sql("UPDATE login_failures SET failed_at = failed_at - interval '16 minutes'")
    with pytest.raises(Unauthenticated):
        await gateway.login("new@example.com", "a wrong password")
    await PeopleStore(gateway.pool).forget_old()
    assert len(await gateway.sql("SELECT email_hash FROM login_failures")) == 1
    assert len(await gateway.sql("SELECT id FROM sessions")) == 1
    assert not await is_refused(gateway, kept)

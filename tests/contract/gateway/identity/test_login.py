"""Logging in (H1): who gets a session, and what tells a guesser nothing."""

import asyncio
import unicodedata
from typing import Any

import argon2
import pytest

from services.gateway import passwords
from services.gateway.store.people import MAX_LOGIN_FAILURES
from services.kernel.errors import ReelgateError, ResourceExhausted, Unauthenticated
from services.kernel.tokens import Verifier
from tests.contract.gateway.identity.running import PASSWORD, Gateway


async def refusal(gateway: Gateway, email: str, password: str) -> ReelgateError:
    """What a log-in is refused with."""
    with pytest.raises(ReelgateError) as refused:
        await gateway.login(email, password)
    return refused.value


async def test_a_login_gives_tokens_for_all_services(gateway: Gateway) -> None:
    user = await gateway.person(role="ROLE_ADMIN")
    answer = await gateway.stranger.Login(email="ada@example.com", password=PASSWORD)
    assert answer.user == user
    assert answer.tokens.access_lifetime.seconds == 900
    assert answer.tokens.refresh_lifetime.seconds == 30 * 86_400
    for audience in ("gateway", "storage", "quota"):
        verifier = Verifier(gateway.keys.jwks_file, audience)
        caller = verifier.verify(answer.tokens.access_token)
        assert (caller.subject, caller.role, caller.actor) == (user.id, "admin", "")
    me = await gateway.bearer(answer.tokens.access_token).GetMe()
    assert me.user == user


async def test_the_address_may_be_written_in_capitals(gateway: Gateway) -> None:
    await gateway.person("Ada@Example.COM")
    assert (await gateway.login(" ADA@example.com ")).access_token


async def test_a_password_is_the_same_however_its_letters_are_composed(gateway: Gateway) -> None:
    composed, decomposed = (unicodedata.normalize(form, "Åé-drömmar") for form in ("NFC", "NFD"))
    assert composed != decomposed
    await gateway.admin.CreateUser(email="ada@example.com", password=composed)
    assert (await gateway.login(password=decomposed)).access_token


@pytest.mark.parametrize(
    ("email", "password"),
    [
        ("ada@example.com", "not her password"),
        ("ada@example.com", ""),
        ("ada@example.com", "x" * 5000),
        ("nobody@example.com", PASSWORD),
        ("no address", PASSWORD),
        ("nul\x00@example.com", PASSWORD),
        ("", ""),
    ],
)
async def test_a_wrong_login_says_nothing_about_what_was_wrong(
    gateway: Gateway, email: str, password: str
) -> None:
    await gateway.person()
    error = await refusal(gateway, email, password)
    assert isinstance(error, Unauthenticated)
    assert error.reason == "BAD_CREDENTIALS"
    assert error.message == "The e-mail address or the password is wrong."


async def test_an_unknown_address_costs_as_much_work_as_a_wrong_password(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time of an answer must not tell which addresses have accounts: the same hash is computed for each."""
    await gateway.person()
    verified: list[argon2.Parameters] = []

    class Counting:
        def verify(self, password_hash: str, password: str) -> bool:
            verified.append(argon2.extract_parameters(password_hash))
            return bool(hasher.verify(password_hash, password))

    hasher: Any = passwords._HASHER
    monkeypatch.setattr(passwords, "_HASHER", Counting())
    for email, password in (
        ("ada@example.com", "not her password"),
        ("nobody@example.com", "not her password"),
        ("no address", "not her password"),
        ("ada@example.com", "short"),
    ):
        await refusal(gateway, email, password)
    assert len(verified) == 4
    for used in verified:
        assert used.type is argon2.low_level.Type.ID
        assert (used.memory_cost, used.time_cost, used.parallelism) == (19 * 1024, 2, 1)


async def test_no_password_is_kept_as_it_is(gateway: Gateway) -> None:
    await gateway.person()
    [(kept,)] = await gateway.sql("SELECT password_hash FROM users")
    assert kept.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


@pytest.mark.usefixtures("quick_hashes")
@pytest.mark.parametrize("email", ["ada@example.com", "nobody@example.com", "no address"])
async def test_after_ten_failures_nobody_logs_in_for_a_while(gateway: Gateway, email: str) -> None:
    await gateway.person()
    for _ in range(MAX_LOGIN_FAILURES):
        assert (await refusal(gateway, email, "not her password")).reason == "BAD_CREDENTIALS"
    error = await refusal(gateway, email, PASSWORD)
    assert isinstance(error, ResourceExhausted)
    assert error.reason == "TOO_MANY_LOGINS"
    assert error.retry_after is not None
    assert 800 < error.retry_after <= 900


@pytest.mark.usefixtures("quick_hashes")
async def test_the_throttle_opens_when_the_failures_are_old(gateway: Gateway) -> None:
    await gateway.person()
    for _ in range(MAX_LOGIN_FAILURES):
        await refusal(gateway, "ada@example.com", "not her password")
    await gateway.sql("UPDATE login_failures SET failed_at = failed_at - interval '16 minutes'")
    assert (await gateway.login()).access_token


@pytest.mark.usefixtures("quick_hashes")
async def test_one_address_is_throttled_without_the_others(gateway: Gateway) -> None:
    await gateway.person()
    for _ in range(MAX_LOGIN_FAILURES):
        await refusal(gateway, "nobody@example.com", "not her password")
    assert (await gateway.login()).access_token


@pytest.mark.usefixtures("quick_hashes")
async def test_a_login_that_works_forgives_the_failures_before(gateway: Gateway) -> None:
    await gateway.person()
    for _ in range(2):
        for _ in range(MAX_LOGIN_FAILURES - 1):
            await refusal(gateway, "ada@example.com", "not her password")
        assert (await gateway.login()).access_token
    assert await gateway.sql("SELECT email_hash FROM login_failures") == []


async def test_guessing_at_once_does_not_get_around_the_throttle(gateway: Gateway) -> None:
    await gateway.person()
    guesses = (refusal(gateway, "ada@example.com", f"guess {n:08}") for n in range(40))
    reasons = [error.reason for error in await asyncio.gather(*guesses)]
    # Two are checked at a time, so one more than ten may slip in.
    assert MAX_LOGIN_FAILURES <= reasons.count("BAD_CREDENTIALS") <= MAX_LOGIN_FAILURES + 1
    assert set(reasons) == {"BAD_CREDENTIALS", "TOO_MANY_LOGINS"}


async def test_a_disabled_user_is_told_so_only_with_his_password(gateway: Gateway) -> None:
    user = await gateway.person()
    await gateway.admin.UpdateUser(user_id=user.id, disabled=True)
    assert (await refusal(gateway, "ada@example.com", PASSWORD)).reason == "USER_DISABLED"
    assert (await refusal(gateway, "ada@example.com", "a guess of it")).reason == "BAD_CREDENTIALS"
    assert await gateway.sql("SELECT id FROM sessions") == []


async def test_only_so_many_wait_for_their_log_in(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "_MOST_WAITING", 3)
    guesses = (refusal(gateway, f"{n}@example.com", "a wrong password") for n in range(30))
    errors = await asyncio.gather(*guesses)
    busy = [error for error in errors if error.reason == "BUSY"]
    assert busy
    assert all(error.retry_after for error in busy)
    assert {error.reason for error in errors} == {"BUSY", "BAD_CREDENTIALS"}

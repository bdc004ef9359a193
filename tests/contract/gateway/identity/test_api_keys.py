"""API keys (C6): made, listed, revoked, and traded for tokens."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from services.gateway.api_keys import MAX_KEYS_PER_USER
from services.kernel.errors import (
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
)
from services.kernel.ids import new_id
from services.kernel.tokens import Verifier
from tests.contract.gateway.identity.running import Gateway

pytestmark = pytest.mark.usefixtures("quick_hashes")


def in_(**span: float) -> Timestamp:
    """A time from now on."""
    time = Timestamp()
    time.FromDatetime(datetime.now(UTC) + timedelta(**span))
    return time


async def traded(gateway: Gateway, secret: str) -> Any:
    """What the key is traded for; None when it is refused."""
    try:
        return await gateway.stranger.ExchangeApiKey(api_key=secret)
    except Unauthenticated as error:
        if error.reason != "BAD_API_KEY":
            raise
        return None


async def test_a_key_is_shown_once_and_kept_as_a_digest(gateway: Gateway) -> None:
    ada = await gateway.logged_in()
    made = await ada.CreateApiKey(name=" Laptop ")
    assert re.fullmatch(r"rg-[A-Za-z0-9_-]{43}", made.secret)
    assert made.api_key.name == "Laptop"
    assert made.api_key.hint == made.secret[:7]
    assert list((await ada.ListApiKeys()).api_keys) == [made.api_key]
    [row] = await gateway.sql("SELECT k::text FROM api_keys k")
    assert made.secret[7:] not in row[0]


async def test_a_key_is_traded_for_a_token_of_its_owner(gateway: Gateway) -> None:
    ada = await gateway.logged_in()
    me = (await ada.GetMe()).user
    made = await ada.CreateApiKey(name="Laptop")
    answer = await traded(gateway, made.secret)
    assert (answer.user, answer.api_key_id) == (me, made.api_key.id)
    assert answer.access_lifetime.seconds == 300
    for audience in ("gateway", "storage", "quota"):
        caller = Verifier(gateway.keys.jwks_file, audience).verify(answer.access_token)
        assert (caller.subject, caller.api_key_id) == (me.id, made.api_key.id)
        assert caller.role == "user"
    assert (await gateway.bearer(answer.access_token).GetMe()).user == me


@pytest.mark.parametrize(
    "secret", ["", "rg-", "rg-" + "x" * 43, "sk-" + "x" * 43, "rg-" + "é" * 43, "x" * 100_000]
)
async def test_an_unknown_key_is_refused(gateway: Gateway, secret: str) -> None:
    assert await traded(gateway, secret) is None


async def test_a_revoked_key_is_refused_at_once(gateway: Gateway) -> None:
    ada = await gateway.logged_in()
    made = await ada.CreateApiKey(name="Laptop")
    other = await ada.CreateApiKey(name="Phone")
    await ada.RevokeApiKey(api_key_id=made.api_key.id)
    assert await traded(gateway, made.secret) is None
    assert await traded(gateway, other.secret) is not None
    assert [key.name for key in (await ada.ListApiKeys()).api_keys] == ["Phone"]
    with pytest.raises(NotFound):
        await ada.RevokeApiKey(api_key_id=made.api_key.id)


async def test_a_key_ends_at_its_time(gateway: Gateway) -> None:
    ada = await gateway.logged_in()
    made = await ada.CreateApiKey(name="Laptop", expire_time=in_(seconds=1))
    assert await traded(gateway, made.secret) is not None
    await asyncio.sleep(1)
    assert await traded(gateway, made.secret) is None


async def test_the_keys_of_a_disabled_user_are_refused(gateway: Gateway) -> None:
    ada = await gateway.logged_in()
    secret = (await ada.CreateApiKey(name="Laptop")).secret
    user_id = (await ada.GetMe()).user.id
    await gateway.admin.UpdateUser(user_id=user_id, disabled=True)
    assert await traded(gateway, secret) is None
    with pytest.raises(Unauthenticated):
        await ada.CreateApiKey(name="Phone")
    await gateway.admin.UpdateUser(user_id=user_id, disabled=False)
    assert await traded(gateway, secret) is not None


async def test_the_last_use_is_written_at_most_once_a_minute(gateway: Gateway) -> None:
    ada = await gateway.logged_in()
    made = await ada.CreateApiKey(name="Laptop")
    assert not made.api_key.HasField("last_use_time")
    await traded(gateway, made.secret)
    [first] = await gateway.sql("SELECT last_used_at, xmin::text FROM api_keys")
    await traded(gateway, made.secret)
    assert await gateway.sql("SELECT last_used_at, xmin::text FROM api_keys") == [first]
    await gateway.sql("UPDATE api_keys SET last_used_at = last_used_at - interval '61 seconds'")
    await traded(gateway, made.secret)
    [key] = (await ada.ListApiKeys()).api_keys
    assert key.last_use_time.ToDatetime(tzinfo=UTC) >= first[0]


async def test_somebody_elses_key_is_neither_seen_nor_revoked(gateway: Gateway) -> None:
    ada = await gateway.logged_in()
    bob = await gateway.logged_in("bob@example.com")
    made = await ada.CreateApiKey(name="Laptop")
    assert list((await bob.ListApiKeys()).api_keys) == []
    with pytest.raises(NotFound):
        await bob.RevokeApiKey(api_key_id=made.api_key.id)
    with pytest.raises(NotFound):
        await bob.RevokeApiKey(api_key_id=str(new_id()))
    assert await traded(gateway, made.secret) is not None


async def test_a_key_makes_no_keys(gateway: Gateway) -> None:
    """Else one that was stolen could outlive its end."""
    ada = await gateway.logged_in()
    made = await ada.CreateApiKey(name="Laptop")
    program = gateway.bearer((await traded(gateway, made.secret)).access_token)
    assert list((await program.ListApiKeys()).api_keys)
    with pytest.raises(PermissionDenied):
        await program.CreateApiKey(name="Another")
    with pytest.raises(PermissionDenied):
        await program.RevokeApiKey(api_key_id=made.api_key.id)


async def test_keys_are_listed_newest_first_with_all_they_have(gateway: Gateway) -> None:
    ada = await gateway.logged_in()
    first = await ada.CreateApiKey(name="First")
    second = await ada.CreateApiKey(
        name="Second",
        models=["sora2-landscape-10s", "gpt-image"],
        concurrency_limit=2,
        requests_per_minute=60,
        expire_time=in_(days=30),
    )
    listed = list((await ada.ListApiKeys()).api_keys)
    assert listed == [second.api_key, first.api_key]
    assert list(listed[0].models) == ["sora2-landscape-10s", "gpt-image"]
    assert (listed[0].concurrency_limit, listed[0].requests_per_minute) == (2, 60)
    assert listed[0].HasField("expire_time")
    assert not listed[1].HasField("expire_time")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "two\nlines"}, "name"),
        ({"expire_time": in_(seconds=-1)}, "expire_time"),
        ({"expire_time": Timestamp(seconds=10**15)}, "expire_time"),
        ({"models": [""]}, "models"),
        ({"models": ["nul\x00"]}, "models"),
        ({"models": ["x"] * 101}, "models"),
        ({"concurrency_limit": -1}, "concurrency_limit"),
        ({"requests_per_minute": 2**31 - 1}, "requests_per_minute"),
    ],
)
async def test_a_key_that_can_not_be_is_refused(
    gateway: Gateway, change: dict[str, Any], field: str
) -> None:
    ada = await gateway.logged_in()
    with pytest.raises(InvalidArgument) as refused:
        await ada.CreateApiKey(**{"name": "Laptop", **change})
    assert refused.value.field == field
    assert list((await ada.ListApiKeys()).api_keys) == []


async def test_a_user_has_so_many_keys_and_no_more_also_at_once(gateway: Gateway) -> None:
    ada = await gateway.logged_in()
    tries = (ada.CreateApiKey(name=f"{n}") for n in range(MAX_KEYS_PER_USER + 20))
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, ResourceExhausted)]
    assert len(refused) == 20
    assert {error.reason for error in refused} == {"TOO_MANY_KEYS"}
    keys = (await ada.ListApiKeys()).api_keys
    assert len(keys) == MAX_KEYS_PER_USER
    await ada.RevokeApiKey(api_key_id=keys[0].id)
    assert (await ada.CreateApiKey(name="one more")).secret

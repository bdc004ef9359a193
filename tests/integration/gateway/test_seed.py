"""What `make run` begins with: made once, whoever makes it and however often."""

import asyncio
from typing import Any, cast
from uuid import UUID

import pytest
from pydantic import SecretStr

from services.gateway.clients import QuotaClient
from services.gateway.identity import Identity
from services.gateway.seed import DEMO_CREDITS, seed, seed_credits
from services.gateway.settings import ApiSettings
from services.gateway.store.accounts import AccountStore
from services.gateway.store.people import PeopleStore
from services.kernel.errors import InvalidArgument, Unavailable
from services.kernel.ids import new_id
from services.kernel.postgres import Pool
from services.kernel.sealing import KeyRing
from services.kernel.tokens import Signer, generate_signing_key

_SECRET = "rg-" + "s" * 43


def settings(**changes: object) -> ApiSettings:
    """Those of a local stack."""
    values: dict[str, object] = {
        "seed_email": "Demo@example.com",
        "seed_password": SecretStr("a demo password"),
        "seed_api_key": SecretStr(_SECRET),
        "seed_studio_url": "http://127.0.0.1:9000",
        "seed_studio_key": SecretStr("studio-key"),
        **changes,
    }
    return ApiSettings.model_construct(**cast("Any", values))


@pytest.fixture
def people(pool: Pool) -> PeopleStore:
    return PeopleStore(pool)


@pytest.fixture
def accounts(pool: Pool) -> AccountStore:
    return AccountStore(pool, KeyRing("tests:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="))


@pytest.fixture
def identity(people: PeopleStore) -> Identity:
    return Identity(people, Signer(generate_signing_key()), registration_enabled=False)


async def test_the_demo_is_there_after_the_first_start(
    people: PeopleStore, accounts: AccountStore, identity: Identity
) -> None:
    await seed(settings(), people, accounts)
    signed_in = await identity.login("demo@example.com", "a demo password")
    assert signed_in.user.role == "admin"
    traded = await identity.exchange_api_key(_SECRET)
    assert traded.key.owner == signed_in.user
    assert await accounts.served() == [("openai_videos", [])]


async def test_several_processes_seed_at_once(
    pool: Pool, people: PeopleStore, accounts: AccountStore
) -> None:
    await asyncio.gather(*(seed(settings(), people, accounts) for _ in range(6)))
    async with pool.connection() as connection:
        for table in ("users", "api_keys", "accounts"):
            cursor = await connection.execute(f"SELECT count(*) FROM {table}")
            assert await cursor.fetchone() == (1,)


async def test_a_later_start_changes_nothing_that_a_person_changed(
    people: PeopleStore, accounts: AccountStore, identity: Identity
) -> None:
    await seed(settings(), people, accounts)
    found = await people.credentials("demo@example.com")
    assert found is not None
    [key] = await identity.api_keys.list(found.user.id)
    await identity.api_keys.revoke(found.user.id, key.id)
    await seed(settings(seed_password=SecretStr("another password")), people, accounts)
    assert await people.credentials("demo@example.com") == found
    assert await identity.api_keys.list(found.user.id) == []


async def test_a_later_start_brings_the_studios_address_up_to_date(
    pool: Pool, people: PeopleStore, accounts: AccountStore
) -> None:
    await seed(settings(), people, accounts)
    changed = settings(
        seed_studio_url="http://127.0.0.1:9001", seed_studio_key=SecretStr("another key")
    )
    await seed(changed, people, accounts)
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT id FROM accounts")
        [(account_id,)] = await cursor.fetchall()
    account = await accounts.get(account_id)
    assert (account.base_url, account.credential) == ("http://127.0.0.1:9001", "another key")
    assert account.options == {"can_find": True, "idempotent_submit": True}


async def test_outside_of_make_run_nothing_is_made(
    people: PeopleStore, accounts: AccountStore
) -> None:
    await seed(settings(seed_email="", seed_studio_url=""), people, accounts)
    assert await people.users("", after=None, limit=10) == []
    assert await accounts.served() == []


@pytest.mark.parametrize(
    "change",
    [
        {"seed_password": SecretStr("short")},
        {"seed_email": "no address"},
        {"seed_api_key": SecretStr("not a key")},
    ],
)
async def test_a_seed_that_can_not_be_stops_the_start(
    people: PeopleStore, accounts: AccountStore, change: dict[str, object]
) -> None:
    with pytest.raises(InvalidArgument):
        await seed(settings(**change), people, accounts)


async def test_somebody_elses_key_is_not_taken_over(
    people: PeopleStore, accounts: AccountStore, identity: Identity
) -> None:
    await seed(settings(), people, accounts)
    other = await people.add_user(new_id(), "other@example.com", "x", "user", None)
    await seed(settings(seed_email="other@example.com"), people, accounts)
    assert await identity.api_keys.list(other.id) == []


class Quota:
    """Away for the first two calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[UUID, int, str, UUID]] = []

    async def grant(self, user_id: UUID, amount: int, reason: str, request_id: UUID) -> None:
        self.calls.append((user_id, amount, reason, request_id))
        if len(self.calls) <= 2:
            raise Unavailable("not yet")


async def test_g7_the_demo_is_rich_as_soon_as_quota_is_there_and_only_once(
    people: PeopleStore, accounts: AccountStore
) -> None:
    quota = Quota()
    for _ in range(2):
        await seed(settings(), people, accounts)
        await seed_credits(settings(), people, cast("QuotaClient", quota), retry_seconds=0.01)
    found = await people.credentials("demo@example.com")
    assert found is not None
    assert len(quota.calls) == 4
    assert len(set(quota.calls)) == 1, "one request: quota gives once"
    assert quota.calls[0][:2] == (found.user.id, DEMO_CREDITS)


async def test_without_a_seed_nobody_is_given_anything(people: PeopleStore) -> None:
    quota = Quota()
    await seed_credits(settings(seed_email=""), people, cast("QuotaClient", quota))
    assert quota.calls == []

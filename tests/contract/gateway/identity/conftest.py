"""Keys for tokens, and a running gateway API."""

import asyncio
import json
from collections.abc import AsyncIterator

import argon2
import psycopg
import pytest

from deploy.local.postgres import Postgres
from services.gateway import passwords
from services.kernel.migrations import migrate
from services.kernel.tokens import Signer, generate_signing_key, public_jwks
from tests.contract.gateway.identity.running import MIGRATIONS, Gateway, Keys, gateway_api


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """One pair for the whole run."""
    pem = generate_signing_key()
    jwks_file = tmp_path_factory.mktemp("keys") / "jwks.json"
    jwks_file.write_text(json.dumps(public_jwks(pem)))
    return Keys(Signer(pem), jwks_file)


@pytest.fixture
def quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords hashed with little work, where the work is not what is tested."""
    quick = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(passwords, "_HASHER", quick)


@pytest.fixture(scope="session")
def migrated(postgres: Postgres) -> str:
    """A database with the gateway's tables, for all tests of this folder."""
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE identity_contract")
    url = postgres.url("identity_contract")
    asyncio.run(migrate(url, MIGRATIONS))
    return url


@pytest.fixture
def empty(migrated: str) -> str:
    """The same without a row: emptying it takes a hundredth of the time that making one takes."""
    with psycopg.connect(migrated, autocommit=True) as connection:
        connection.execute(
            "DELETE FROM users; DELETE FROM groups; DELETE FROM login_failures; DELETE FROM accounts"
        )
    return migrated


@pytest.fixture
async def gateway(empty: str, keys: Keys) -> AsyncIterator[Gateway]:
    """A gateway where nobody can register."""
    async with gateway_api(empty, keys) as running:
        yield running


@pytest.fixture
async def open_gateway(empty: str, keys: Keys) -> AsyncIterator[Gateway]:
    """A gateway where anyone can register."""
    async with gateway_api(empty, keys, registration_enabled=True) as running:
        yield running

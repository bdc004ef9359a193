"""Keys for tokens, and a running quota server."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest

from deploy.local.postgres import Postgres
from services.kernel.migrations import migrate
from services.kernel.tokens import Signer, generate_signing_key, public_jwks
from services.quota.__main__ import MIGRATIONS
from tests.contract.quota.running import Callers, Keys, quota_server

_SHARED = "quota_contract"


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    pem = generate_signing_key()
    jwks_file = tmp_path_factory.mktemp("keys") / "jwks.json"
    jwks_file.write_text(json.dumps(public_jwks(pem)))
    return Keys(Signer(pem), jwks_file)


@pytest.fixture(scope="session")
def shared_books(postgres: Postgres) -> Iterator[str]:
    """The address of a database that tests share: each brings users of its own."""
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {_SHARED}")
    asyncio.run(migrate(postgres.url(_SHARED), MIGRATIONS))
    yield postgres.url(_SHARED)
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {_SHARED} WITH (FORCE)")


@pytest.fixture
async def callers(shared_books: str, keys: Keys) -> AsyncIterator[Callers]:
    """A server whose books hold other users, too."""
    async with quota_server(shared_books, keys) as callers:
        yield callers


@pytest.fixture
async def callers_of_new_books(database: str, keys: Keys) -> AsyncIterator[Callers]:
    """A server whose books are empty, for what concerns all users."""
    await migrate(database, MIGRATIONS)
    async with quota_server(database, keys) as callers:
        yield callers

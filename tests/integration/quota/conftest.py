"""Empty, migrated books for each test, and keys for tokens."""

import json
from collections.abc import AsyncIterator

import pytest

from services.kernel.migrations import migrate
from services.kernel.postgres import Pool, open_pool
from services.kernel.runtime import background
from services.kernel.tokens import Signer, generate_signing_key, public_jwks
from services.quota.__main__ import MIGRATIONS
from services.quota.store.quotas import QuotaStore
from tests.contract.quota.running import Keys


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    pem = generate_signing_key()
    jwks_file = tmp_path_factory.mktemp("keys") / "jwks.json"
    jwks_file.write_text(json.dumps(public_jwks(pem)))
    return Keys(Signer(pem), jwks_file)


@pytest.fixture
async def books(database: str) -> str:
    """The address of a migrated database."""
    await migrate(database, MIGRATIONS)
    return database


@pytest.fixture
async def pool(books: str) -> AsyncIterator[Pool]:
    async with open_pool(books, min_size=2, max_size=8) as pool:
        yield pool


@pytest.fixture
async def store(pool: Pool) -> AsyncIterator[QuotaStore]:
    """The books of runs; a new user is given 1000 credits."""
    async with background() as work:
        yield QuotaStore(pool, work, new_user_credits=1000)

"""A migrated database of the gateway, people and accounts in it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from psycopg.types.json import Jsonb

from services.gateway import generations
from services.gateway.generations import NewGeneration
from services.gateway.store.generations import GenerationStore
from services.gateway.store.leases import LeaseStore
from services.kernel.ids import new_id
from services.kernel.migrations import migrate
from services.kernel.postgres import Pool, open_pool

MIGRATIONS = Path(generations.__file__).with_name("migrations")


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    """Connections to a fresh database with the gateway's tables."""
    await migrate(database, MIGRATIONS)
    async with open_pool(database, max_size=12) as opened:
        yield opened


@pytest.fixture
def store(pool: Pool) -> GenerationStore:
    """Generations as their owner sees them."""
    return GenerationStore(pool)


@pytest.fixture
def leases(pool: Pool) -> LeaseStore:
    """Generations as the worker sees them."""
    return LeaseStore(pool)


@pytest.fixture
async def owner(pool: Pool) -> UUID:
    """A user."""
    return await add_user(pool)


async def add_user(pool: Pool) -> UUID:
    """One more user."""
    user_id = new_id()
    async with pool.connection() as connection:
        await connection.execute(
            "INSERT INTO users (id, email, password_hash, role) VALUES (%s, %s, 'x', 'user')",
            (user_id, f"{user_id}@example.com"),
        )
    return user_id


async def add_account(pool: Pool, name: str = "one", **columns: Any) -> UUID:
    """One more account of the scripted dialect; `columns` set what is not the default."""
    account_id = new_id()
    async with pool.connection() as connection:
        await connection.execute(
            "INSERT INTO accounts (id, name, dialect, base_url, sealed_credential, options)"
            " VALUES (%s, %s, 'scripted', 'http://upstream.test', 'x', %s)",
            (account_id, name, Jsonb(columns.pop("options", {}))),
        )
        for column, value in columns.items():
            await connection.execute(
                f"UPDATE accounts SET {column} = %s WHERE id = %s", (value, account_id)
            )
    return account_id


def wanted(owner: UUID, **changes: object) -> NewGeneration:
    """A generation that may be asked for."""
    values: dict[str, object] = {
        "id": new_id(),
        "user_id": owner,
        "api_key_id": None,
        "model": "sora2-landscape-10s",
        "prompt": "a paper boat",
        "media_type": "video",
        "orientation": "landscape",
        "duration_seconds": 10,
        "count": 1,
        "parameters": {},
        "input_urls": (),
        "credits": 10,
        "reserved_bytes": 1000,
        "deadline_seconds": 3600.0,
    }
    return NewGeneration(**(values | changes))  # type: ignore[arg-type] # the values are checked by the database

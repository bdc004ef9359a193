"""Processes of the release before, beside ours while they are replaced: what they send is understood as ever."""

from typing import Any
from uuid import UUID

import pytest

from services.kernel.ids import new_id
from services.kernel.postgres import Pool
from services.quota.credits import Credits
from services.quota.model import Outcome, Run, Verdict
from services.quota.store.credits import CreditStore
from services.quota.store.quotas import QuotaStore
from tests.integration.quota.books import drift

_ANSWER = """
SELECT verdict, amount_bytes, (standing).user_id, (standing).quota_bytes, (standing).used_bytes,
       (standing).reserved_bytes, (standing).quota_source
"""


class Before:
    """The statements of the release before, word for word."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def ask(self, function: str, *values: object) -> Any:
        marks = ", ".join(["%s"] * len(values))
        async with self._pool.connection() as connection:
            cursor = await connection.execute(f"{_ANSWER} FROM {function}({marks})", values)
            return await cursor.fetchone()

    async def admit(self, run: Run, user: UUID, reserve: int) -> Any:
        return await self.ask("admit", run.generation_id, run.number, user, reserve, 0, 0)

    async def settle(self, run: Run, user: UUID, stored: int) -> Any:
        return await self.ask(
            "settle", run.generation_id, run.number, run.lease_token, user, stored, "kept", 0
        )

    async def release(self, run: Run, user: UUID) -> Any:
        return await self.ask("release", run.generation_id, run.number, run.lease_token, user, 0)


@pytest.fixture
def before(pool: Pool) -> Before:
    return Before(pool)


@pytest.fixture
def credit_store(pool: Pool) -> CreditStore:
    return CreditStore(pool, new_user_credits=1000)


async def test_it_runs_as_ever_and_its_runs_cost_nothing(
    before: Before, store: QuotaStore, credit_store: CreditStore, pool: Pool
) -> None:
    user, kept, given_up = new_id(), Run(new_id(), 0), Run(new_id(), 0)
    assert await before.admit(kept, user, 10) == ("done", 10, user, -1, 0, 10, "unlimited")
    assert await before.settle(kept, user, 8) == ("done", 8, user, -1, 8, 0, "unlimited")
    assert (await before.admit(given_up, user, 10))[0] == "done"
    assert await before.release(given_up, user) == ("done", 10, user, -1, 8, 0, "unlimited")
    assert (await store.admit(kept, user, 10, 0)).verdict is Verdict.REPLAYED
    assert (await credit_store.get(user))[0] == Credits(user, 1000, 0, 0)
    assert await drift(pool) == []


async def test_what_we_admit_it_ends_with_its_money(
    before: Before, store: QuotaStore, credit_store: CreditStore, pool: Pool
) -> None:
    user, kept, given_up = new_id(), Run(new_id(), 0), Run(new_id(), 0)
    await store.admit(kept, user, 10, 30)
    await store.admit(given_up, user, 10, 40)
    assert (await before.settle(kept, user, 8))[0] == "done"
    assert (await before.release(given_up, user))[0] == "done"
    assert (await credit_store.get(user))[0] == Credits(user, 970, 0, 30)
    assert await drift(pool) == []


async def test_what_it_admits_we_end(
    before: Before, store: QuotaStore, credit_store: CreditStore, pool: Pool
) -> None:
    user, run = new_id(), Run(new_id(), 0)
    await before.admit(run, user, 10)
    assert (await store.settle(run, user, 8, Outcome.KEPT)).verdict is Verdict.DONE
    assert (await credit_store.get(user))[0] == Credits(user, 0, 0, 0), "not seen by us before"
    assert (await credit_store.welcome(user)).credits == Credits(user, 1000, 0, 0)
    assert await drift(pool) == []

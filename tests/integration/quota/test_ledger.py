"""The ledger guards itself: its rows are never changed, and nothing happens twice (G7)."""

import psycopg
import pytest

from services.kernel.ids import new_id
from services.kernel.postgres import Pool
from services.quota.model import Run
from services.quota.store.quotas import QuotaStore

_ENTRY = """
INSERT INTO ledger (
    user_id, seq, kind, from_account, to_account, amount,
    balance_before, balance_after, held_before, held_after, cause_id, run, is_end
)
SELECT user_id, 99, kind, from_account, to_account, %s,
    balance_before, balance_after, held_before, held_after, cause_id, run, is_end
FROM ledger WHERE seq = 2
"""


@pytest.mark.parametrize(
    "statement",
    ["UPDATE ledger SET amount = 1", "DELETE FROM ledger", "TRUNCATE ledger"],
)
async def test_g7_no_entry_is_changed_or_removed(
    pool: Pool, store: QuotaStore, statement: str
) -> None:
    await store.admit(Run(new_id(), 0), new_id(), 0, 5)
    async with pool.connection() as connection:
        with pytest.raises(psycopg.errors.RaiseException, match="never changed"):
            await connection.execute(statement)
        cursor = await connection.execute("SELECT count(*) FROM ledger")
        assert await cursor.fetchone() == (2,)


async def test_g7_a_second_hold_of_one_run_is_impossible(pool: Pool, store: QuotaStore) -> None:
    await store.admit(Run(new_id(), 0), new_id(), 0, 5)
    async with pool.connection() as connection:
        with pytest.raises(psycopg.errors.UniqueViolation):
            await connection.execute(_ENTRY, (5,))
        with pytest.raises(psycopg.errors.CheckViolation):
            await connection.execute(_ENTRY, (0,))


async def test_g7_no_balance_becomes_negative(pool: Pool, store: QuotaStore) -> None:
    await store.admit(Run(new_id(), 0), new_id(), 0, 5)
    async with pool.connection() as connection:
        for column in ("balance", "held", "spent"):
            with pytest.raises(psycopg.errors.CheckViolation):
                await connection.execute(f"UPDATE subjects SET {column} = -1")

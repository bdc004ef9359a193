"""Whether the books add up: every figure is the sum of what it stands for."""

from typing import Any

from services.kernel.postgres import Pool

# Users whose bytes are not the sum of their runs.
_BYTES = """
SELECT s.user_id, 'bytes', s.used_bytes, s.reserved_bytes
FROM subjects s LEFT JOIN reservations r USING (user_id)
GROUP BY s.user_id
HAVING s.used_bytes <> coalesce(sum(r.stored_bytes) FILTER (WHERE r.state = 'settled'), 0)
    OR s.reserved_bytes
        <> coalesce(sum(coalesce(r.save_bytes, r.reserved_bytes)) FILTER (WHERE r.state = 'reserved'), 0)
"""
# Users whose credits are not what the ledger says.
_LEDGER = """
SELECT s.user_id, 'ledger', s.balance, s.held, s.spent, s.ledger_seq
FROM subjects s LEFT JOIN ledger l USING (user_id)
GROUP BY s.user_id
HAVING (s.balance, s.held, s.spent, s.ledger_seq) <> (
    coalesce(sum(
        CASE WHEN l.to_account = 'available' THEN l.amount WHEN l.from_account = 'available' THEN -l.amount END
    ), 0),
    coalesce(sum(
        CASE WHEN l.to_account = 'held' THEN l.amount WHEN l.from_account = 'held' THEN -l.amount END
    ), 0),
    coalesce(sum(l.amount) FILTER (WHERE l.to_account = 'spent'), 0),
    count(l.seq)
)
"""
# Entries that do not go on where the one before ended.
_CHAIN = """
SELECT * FROM (
    SELECT user_id, 'chain', seq, balance_before, held_before,
        lag(balance_after, 1, 0::bigint) OVER one AS balance, lag(held_after, 1, 0::bigint) OVER one AS held,
        lag(seq, 1, 0::bigint) OVER one AS before
    FROM ledger WINDOW one AS (PARTITION BY user_id ORDER BY seq)
) e WHERE (balance_before, held_before, seq) <> (balance, held, before + 1)
"""
# Users for whom something else is held than open runs and requests say.
_HELD = """
SELECT s.user_id, 'held', s.held FROM subjects s
WHERE s.held <> coalesce((
    SELECT sum(r.held_credits) FROM reservations r
    WHERE r.user_id = s.user_id AND r.state = 'reserved' AND r.save_bytes IS NULL
), 0) + coalesce((SELECT sum(h.credits) FROM holds h WHERE h.user_id = s.user_id AND h.state = 'held'), 0)
"""
# Entries of users whom nobody knows.
_NOBODY = "SELECT user_id, 'nobody' FROM ledger WHERE user_id NOT IN (SELECT user_id FROM subjects)"


async def drift(pool: Pool) -> list[Any]:
    """What does not add up, of all users."""
    async with pool.connection() as connection:
        found: list[Any] = []
        for statement in (_BYTES, _LEDGER, _CHAIN, _HELD, _NOBODY):
            found += await (await connection.execute(statement)).fetchall()
        return found

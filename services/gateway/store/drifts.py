"""SQL of whose books are off, and by how much."""

from dataclasses import asdict, dataclass
from typing import Final
from uuid import UUID

from psycopg.rows import class_row

from services.kernel.postgres import Pool

# A user who was removed meanwhile has no books to be off.
_NOTE: Final = """
INSERT INTO drifts (user_id, used_bytes, reserved_bytes, balance, held, spent)
SELECT id, %(used_bytes)s, %(reserved_bytes)s, %(balance)s, %(held)s, %(spent)s FROM users WHERE id = %(user_id)s
ON CONFLICT (user_id) DO UPDATE SET used_bytes = excluded.used_bytes, reserved_bytes = excluded.reserved_bytes,
    balance = excluded.balance, held = excluded.held, spent = excluded.spent, found_at = now()
"""
_CLEAR: Final = "DELETE FROM drifts WHERE user_id = %s"
_TOTALS: Final = """
SELECT count(*) AS users, coalesce(sum(abs(used_bytes) + abs(reserved_bytes)), 0)::bigint AS size_bytes,
    coalesce(sum(abs(balance) + abs(held) + abs(spent)), 0)::bigint AS credits
FROM drifts
"""


@dataclass(frozen=True, slots=True)
class Drift:
    """By how much each figure of the books is higher than what was counted; negative: lower."""

    used_bytes: int
    reserved_bytes: int
    balance: int
    held: int
    spent: int


@dataclass(frozen=True, slots=True)
class DriftTotals:
    """How many users' books are off, and by how much in all, without sign."""

    users: int
    size_bytes: int
    credits: int


class DriftStore:
    """Drifts that were found and not repaired. Each method is one statement."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def note(self, user_id: UUID, drift: Drift | None) -> None:
        """Remembers it; None forgets what was known: the books are right."""
        async with self._pool.connection() as connection:
            if drift is None:
                await connection.execute(_CLEAR, (user_id,))
            else:
                await connection.execute(_NOTE, {"user_id": user_id, **asdict(drift)})

    async def totals(self) -> DriftTotals:
        """All of them together."""
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=class_row(DriftTotals))
            await cursor.execute(_TOTALS)
            return await cursor.fetchone() or DriftTotals(0, 0, 0)

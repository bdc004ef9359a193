"""SQL of prices. They are added, never changed; what is in force follows from their dates."""

from collections.abc import Sequence
from typing import Final

from psycopg.rows import args_row

from services.kernel.postgres import Pool
from services.quota.credits import Price

_ADD: Final = """
INSERT INTO prices (model, duration_seconds, credits, effective_time, actor)
VALUES (%s, %s, %s, coalesce(%s, now()), %s)
"""
# Of each model, duration and date the row that came last; of those that have begun the latest.
_LIST: Final = """
SELECT model, duration_seconds, credits, effective_time FROM (
    SELECT DISTINCT ON (model, duration_seconds, effective_time) p.*,
        effective_time <= now() AND effective_time < max(effective_time) FILTER (WHERE effective_time <= now())
            OVER (PARTITION BY model, duration_seconds) AS is_past
    FROM prices p
    ORDER BY model, duration_seconds, effective_time, id DESC
) latest
WHERE NOT is_past
ORDER BY model, duration_seconds, effective_time
"""
_IN_FORCE: Final = """
SELECT model, duration_seconds, credits, effective_time FROM prices
WHERE model = %(model)s AND duration_seconds IN (0, %(seconds)s) AND effective_time <= now()
ORDER BY duration_seconds DESC, effective_time DESC, id DESC
LIMIT 1
"""


class PriceStore:
    """What models cost."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def add(self, prices: Sequence[Price], actor: str) -> None:
        """Adds all of them or none, in this order."""
        rows = [
            (price.model, price.duration_seconds, price.credits, price.effective_time, actor)
            for price in prices
        ]
        async with self._pool.connection() as connection, connection.transaction():
            await connection.cursor().executemany(_ADD, rows)

    async def current(self) -> Sequence[Price]:
        """The prices in force and those to come, by model, duration and date."""
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=args_row(Price))
            await cursor.execute(_LIST)
            return await cursor.fetchall()

    async def in_force(self, model: str, duration_seconds: int) -> Price | None:
        """The price of this very duration, else of any; None without one."""
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=args_row(Price))
            await cursor.execute(_IN_FORCE, {"model": model, "seconds": duration_seconds})
            return await cursor.fetchone()

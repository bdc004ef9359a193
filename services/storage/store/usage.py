"""All SQL about what storage costs."""

from dataclasses import dataclass
from datetime import date
from typing import Final

from psycopg.rows import class_row

from services.kernel.postgres import Pool

_ADD: Final = """
INSERT INTO usage_days AS known (day, write_operations, read_operations, egress_bytes)
VALUES ((now() AT TIME ZONE 'UTC')::date, %(writes)s, %(reads)s, %(egress_bytes)s)
ON CONFLICT (day) DO UPDATE SET write_operations = known.write_operations + excluded.write_operations,
  read_operations = known.read_operations + excluded.read_operations,
  egress_bytes = known.egress_bytes + excluded.egress_bytes
"""
_OF_DAYS: Final = """
SELECT coalesce(sum(write_operations), 0)::bigint AS writes, coalesce(sum(read_operations), 0)::bigint AS reads,
  coalesce(sum(egress_bytes), 0)::bigint AS egress_bytes
FROM usage_days WHERE day BETWEEN %(first)s AND %(last)s
"""
_STORED: Final = """
SELECT coalesce(sum(size_bytes + thumbnail_bytes), 0)::bigint FROM objects WHERE tier = 's3' AND missing_since IS NULL
"""


@dataclass(frozen=True, slots=True)
class Use:
    """Operations by how they are billed, and bytes that came out."""

    writes: int
    reads: int
    egress_bytes: int


class UsageStore:
    """What S3 did for us. Every method is one statement."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def add(self, writes: int, reads: int, egress_bytes: int) -> None:
        """Adds to today (UTC)."""
        parameters = {"writes": writes, "reads": reads, "egress_bytes": egress_bytes}
        async with self._pool.connection() as connection:
            await connection.execute(_ADD, parameters)

    async def of_days(self, first: date, last: date) -> Use:
        """What was done from the first day (UTC) to the last, both included."""
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=class_row(Use))
            await cursor.execute(_OF_DAYS, {"first": first, "last": last})
            return await cursor.fetchone() or Use(0, 0, 0)

    async def stored_bytes(self) -> int:
        """Bytes in S3 now, thumbnails among them."""
        async with self._pool.connection() as connection:
            row = await (await connection.execute(_STORED)).fetchone()
            return int(row[0]) if row else 0

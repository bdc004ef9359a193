"""SQL of looking at what users hold and at what became of their runs."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Final
from uuid import UUID

from psycopg.rows import args_row

from services.kernel.postgres import Pool
from services.quota.credits import Credits
from services.quota.model import DailyUsage, Quota, Source, Usage

_USAGES: Final = """
SELECT s.user_id, q.quota_bytes, s.used_bytes, s.reserved_bytes, q.quota_source,
       s.quota_bytes, s.balance, s.held, s.spent, s.update_time
FROM subjects s CROSS JOIN LATERAL effective_quota(s.quota_bytes, s.group_id, %(fallback)s) q
WHERE %(after)s::uuid IS NULL OR s.user_id > %(after)s
ORDER BY s.user_id
LIMIT %(limit)s
"""
_USAGES_OF: Final = """
SELECT u.user_id, q.quota_bytes, coalesce(s.used_bytes, 0), coalesce(s.reserved_bytes, 0), q.quota_source,
       coalesce(s.quota_bytes, 0), coalesce(s.balance, 0), coalesce(s.held, 0), coalesce(s.spent, 0), s.update_time
FROM unnest(%(users)s::uuid[]) WITH ORDINALITY u (user_id, place)
LEFT JOIN subjects s ON s.user_id = u.user_id
CROSS JOIN LATERAL effective_quota(coalesce(s.quota_bytes, 0), s.group_id, %(fallback)s) q
ORDER BY u.place
"""
_DAYS: Final = """
SELECT user_id, day, runs, kept, delivered, failed, kept_bytes, spent_credits
FROM usage_by_day(%s::uuid, %s::date, %s::date, %s::uuid, %s::integer)
"""


class ReportStore:
    """The books, to look at. `default_bytes` is the installation's default limit (0 = none)."""

    def __init__(self, pool: Pool, default_bytes: int = 0) -> None:
        self._pool = pool
        self._default_bytes = default_bytes

    async def usages(self, after: UUID | None, limit: int) -> list[Usage]:
        """The first `limit` users whose ids come after `after`, in the order of their ids."""
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=args_row(_usage))
            await cursor.execute(
                _USAGES, {"after": after, "limit": limit, "fallback": self._default_bytes}
            )
            return await cursor.fetchall()

    async def usages_of(self, user_ids: Sequence[UUID]) -> list[Usage]:
        """One for each of these users, in this order; those never heard of hold nothing."""
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=args_row(_usage))
            await cursor.execute(
                _USAGES_OF, {"users": list(user_ids), "fallback": self._default_bytes}
            )
            return await cursor.fetchall()

    async def days(
        self,
        user_id: UUID | None,
        first: date,
        last: date,
        after: tuple[date, UUID] | None,
        limit: int,
    ) -> list[DailyUsage]:
        """The first `limit` days with runs of one user (None: of all) that come after `after`, by day and user."""
        begins, behind = after or (first, None)
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=args_row(DailyUsage))
            await cursor.execute(_DAYS, (user_id, begins, last, behind, limit))
            return await cursor.fetchall()


def _usage(
    user_id: UUID,
    quota: int,
    used: int,
    reserved: int,
    source: str,
    limit: int,
    balance: int,
    held: int,
    spent: int,
    update_time: datetime | None,
) -> Usage:
    return Usage(
        Quota(user_id, quota, used, reserved, Source(source)),
        limit,
        Credits(user_id, balance, held, spent),
        update_time,
    )

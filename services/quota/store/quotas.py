"""SQL of byte quotas and runs. Each call is one statement, so one transaction and one round trip.

What decides lies in the database's functions (migrations): there the limits and the figures are read
while the user's row is locked, which no statement sent from here could do in one round trip.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from psycopg.rows import args_row, scalar_row

from services.kernel.postgres import Pool
from services.quota.model import (
    Answer,
    GroupLimit,
    LimitTarget,
    Outcome,
    Quota,
    Run,
    Source,
    Verdict,
)
from services.quota.store.rows import only

_ADMIT: Final = """
SELECT verdict, amount_bytes, (standing).balance, (standing).user_id, (standing).quota_bytes, (standing).used_bytes,
       (standing).reserved_bytes, (standing).quota_source
FROM admit(%s, %s, %s, %s, %s, %s, %s)
"""
_ADMIT_SAVE: Final = """
SELECT verdict, amount_bytes, (standing).balance, (standing).user_id, (standing).quota_bytes, (standing).used_bytes,
       (standing).reserved_bytes, (standing).quota_source
FROM admit_save(%s, %s, %s, %s, %s, %s)
"""
_SETTLE: Final = """
SELECT verdict, amount_bytes, (standing).balance, (standing).user_id, (standing).quota_bytes, (standing).used_bytes,
       (standing).reserved_bytes, (standing).quota_source
FROM settle(%s, %s, %s, %s, %s, %s, %s)
"""
_RELEASE: Final = """
SELECT verdict, amount_bytes, (standing).balance, (standing).user_id, (standing).quota_bytes, (standing).used_bytes,
       (standing).reserved_bytes, (standing).quota_source
FROM release(%s, %s, %s, %s, %s)
"""
_GET: Final = """
SELECT u.user_id, q.quota_bytes, coalesce(s.used_bytes, 0), coalesce(s.reserved_bytes, 0), q.quota_source
FROM (SELECT %s::uuid AS user_id) u
LEFT JOIN subjects s ON s.user_id = u.user_id
CROSS JOIN LATERAL effective_quota(coalesce(s.quota_bytes, 0), s.group_id, %s) q
"""
_LIMITS: Final = """
SELECT coalesce(nullif(d.quota_bytes, 0), %s), g.group_id, g.quota_bytes
FROM default_limit d LEFT JOIN group_limits g ON true
ORDER BY g.group_id
"""
_SET_SUBJECT: Final = """
INSERT INTO subjects AS s (user_id, group_id, group_version) VALUES (%s, %s, %s)
ON CONFLICT (user_id) DO UPDATE
SET group_id = excluded.group_id, group_version = excluded.group_version, update_time = clock_timestamp()
WHERE s.group_version <= excluded.group_version
"""
_SET_LIMIT: Final = {
    LimitTarget.USER: """
INSERT INTO subjects (user_id, quota_bytes) VALUES (%(target)s, %(quota)s)
ON CONFLICT (user_id) DO UPDATE SET quota_bytes = excluded.quota_bytes, update_time = clock_timestamp()
""",
    LimitTarget.GROUP: """
INSERT INTO group_limits (group_id, quota_bytes) VALUES (%(target)s, %(quota)s)
ON CONFLICT (group_id) DO UPDATE SET quota_bytes = excluded.quota_bytes
""",
    LimitTarget.DEFAULT: "UPDATE default_limit SET quota_bytes = %(quota)s",
}
_RELEASE_ABANDONED: Final = "SELECT release_abandoned(%s, %s)"


class QuotaStore:
    """The books of runs.

    `default_bytes` is the installation's default until an administrator sets another one (0 = none),
    `new_user_credits` what a user is given when his first run is admitted, if nothing was before.
    """

    def __init__(self, pool: Pool, default_bytes: int = 0, new_user_credits: int = 0) -> None:
        self._pool = pool
        self._default_bytes = default_bytes
        self._new_user_credits = new_user_credits
        # Waiting here is much cheaper than waiting in the pool (a third of all time spent on a call).
        self._turns = asyncio.Semaphore(pool.max_size)

    async def admit(
        self, run: Run, user_id: UUID, reserve_bytes: int, price_credits: int
    ) -> Answer:
        """Reserves bytes and holds credits, or tells why not."""
        return await self._decide(
            _ADMIT,
            (
                run.generation_id,
                run.number,
                user_id,
                reserve_bytes,
                price_credits,
                self._default_bytes,
                self._new_user_credits,
            ),
        )

    async def admit_save(self, run: Run, user_id: UUID, reserve_bytes: int) -> Answer:
        """Reserves bytes for what was not kept, or tells why not."""
        return await self._decide(
            _ADMIT_SAVE,
            (
                run.generation_id,
                run.number,
                run.lease_token,
                user_id,
                reserve_bytes,
                self._default_bytes,
            ),
        )

    async def settle(
        self, run: Run, owner_id: UUID | None, stored_bytes: int, outcome: Outcome
    ) -> Answer:
        """Turns a reservation of `owner_id` (None: of anyone) into bytes used and credits spent, or tells why not."""
        return await self._decide(
            _SETTLE,
            (
                run.generation_id,
                run.number,
                run.lease_token,
                owner_id,
                stored_bytes,
                outcome.value,
                self._default_bytes,
            ),
        )

    async def release(self, run: Run, owner_id: UUID | None) -> Answer:
        """Frees what a run of `owner_id` (None: of anyone) holds and leaves a tombstone, or tells why not."""
        return await self._decide(
            _RELEASE,
            (run.generation_id, run.number, run.lease_token, owner_id, self._default_bytes),
        )

    async def _decide(self, statement: str, values: Sequence[object]) -> Answer:
        async with self._turns, self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=args_row(_answer))
            await cursor.execute(statement, values)
            return await only(cursor)

    async def get(self, user_id: UUID) -> Quota:
        """How a user stands; one never heard of has the default and holds nothing."""
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=args_row(_quota))
            await cursor.execute(_GET, (user_id, self._default_bytes))
            return await only(cursor)

    async def set_subject(self, user_id: UUID, group_id: UUID | None, version: int) -> None:
        """Remembers a user's group unless a newer version is known."""
        async with self._pool.connection() as connection:
            await connection.execute(_SET_SUBJECT, (user_id, group_id, version))

    async def set_limit(
        self, target: LimitTarget, target_id: UUID | None, quota_bytes: int
    ) -> None:
        """Sets the limit of the user or group `target_id`, or (None) the default."""
        async with self._pool.connection() as connection:
            await connection.execute(
                _SET_LIMIT[target], {"target": target_id, "quota": quota_bytes}
            )

    async def limits(self) -> tuple[int, Sequence[GroupLimit]]:
        """The default in force, and the limits of groups, by id."""
        async with self._pool.connection() as connection:
            cursor = connection.cursor()
            await cursor.execute(_LIMITS, (self._default_bytes,))
            rows = await cursor.fetchall()
        # Without a group there is one row, which tells the default.
        return rows[0][0], [GroupLimit(*group) for _, *group in rows if group[0] is not None]

    async def release_abandoned(self, older_than: timedelta, limit: int) -> int:
        """Gives up at most `limit` reservations older than that; how many.

        0 also while another process does it.
        """
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=scalar_row)
            await cursor.execute(_RELEASE_ABANDONED, (older_than, limit))
            return int(await only(cursor))


def _quota(user_id: UUID, quota: int, used: int, reserved: int, source: str) -> Quota:
    return Quota(user_id, quota, used, reserved, Source(source))


def _answer(
    verdict: str, amount: int, balance: int | None, user_id: UUID | None, *figures: Any
) -> Answer:
    quota = None if user_id is None else _quota(user_id, *figures)
    return Answer(Verdict(verdict), amount, quota, balance or 0)

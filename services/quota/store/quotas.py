"""SQL of byte quotas and runs. Each call is decided within one statement, so in one transaction and one round trip.

What decides lies in the database's functions (migrations): there the limits and the figures are read
while the user's row is locked, which no statement sent from here could do in one round trip.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from psycopg.rows import args_row, scalar_row

from services.kernel.postgres import Pool
from services.kernel.runtime import Background
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
from services.quota.store.together import Together

# Of each call its place and its answer, see `Together`.
_DECIDED: Final = """
SELECT place, (a).verdict, (a).amount_bytes, ((a).standing).balance, ((a).standing).user_id, ((a).standing).quota_bytes,
       ((a).standing).used_bytes, ((a).standing).reserved_bytes, ((a).standing).quota_source
"""
_ADMIT: Final = f"""{_DECIDED} FROM (
    SELECT place, admit(generation_id, run, user_id, bytes, price, %s, %s) AS a
    FROM unnest(%s::uuid[], %s::integer[], %s::uuid[], %s::bigint[], %s::bigint[])
        WITH ORDINALITY c (generation_id, run, user_id, bytes, price, place)
) decided
"""
_ADMIT_SAVE: Final = f"""{_DECIDED} FROM (
    SELECT place, admit_save(generation_id, run, lease_token, user_id, bytes, %s) AS a
    FROM unnest(%s::uuid[], %s::integer[], %s::bigint[], %s::uuid[], %s::bigint[])
        WITH ORDINALITY c (generation_id, run, lease_token, user_id, bytes, place)
) decided
"""
_SETTLE: Final = f"""{_DECIDED} FROM (
    SELECT place, settle(generation_id, run, lease_token, owner_id, bytes, outcome, %s) AS a
    FROM unnest(%s::uuid[], %s::integer[], %s::bigint[], %s::uuid[], %s::bigint[], %s::run_outcome[])
        WITH ORDINALITY c (generation_id, run, lease_token, owner_id, bytes, outcome, place)
) decided
"""
_RELEASE: Final = f"""{_DECIDED} FROM (
    SELECT place, release(generation_id, run, lease_token, owner_id, %s) AS a
    FROM unnest(%s::uuid[], %s::integer[], %s::bigint[], %s::uuid[])
        WITH ORDINALITY c (generation_id, run, lease_token, owner_id, place)
) decided
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

    def __init__(
        self, pool: Pool, work: Background, default_bytes: int = 0, new_user_credits: int = 0
    ) -> None:
        self._pool = pool
        self._default_bytes = default_bytes

        def together(statement: str, *constants: object) -> Together[Answer]:
            return Together(pool, work, statement, constants, _answer)

        self._admits = together(_ADMIT, default_bytes, new_user_credits)
        self._saves = together(_ADMIT_SAVE, default_bytes)
        self._settles = together(_SETTLE, default_bytes)
        self._releases = together(_RELEASE, default_bytes)

    async def admit(
        self, run: Run, user_id: UUID, reserve_bytes: int, price_credits: int
    ) -> Answer:
        """Reserves bytes and holds credits, or tells why not."""
        return await self._admits.ask(
            user_id, run.generation_id, run.number, user_id, reserve_bytes, price_credits
        )

    async def admit_save(self, run: Run, user_id: UUID, reserve_bytes: int) -> Answer:
        """Reserves bytes for what was not kept, or tells why not."""
        return await self._saves.ask(
            user_id, run.generation_id, run.number, run.lease_token, user_id, reserve_bytes
        )

    async def settle(
        self, run: Run, owner_id: UUID | None, stored_bytes: int, outcome: Outcome
    ) -> Answer:
        """Turns a reservation of `owner_id` (None: of anyone) into bytes used and credits spent, or tells why not."""
        return await self._settles.ask(
            owner_id,
            run.generation_id,
            run.number,
            run.lease_token,
            owner_id,
            stored_bytes,
            outcome.value,
        )

    async def release(self, run: Run, owner_id: UUID | None) -> Answer:
        """Frees what a run of `owner_id` (None: of anyone) holds and leaves a tombstone, or tells why not."""
        return await self._releases.ask(
            owner_id, run.generation_id, run.number, run.lease_token, owner_id
        )

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

"""All SQL about bytes that must go."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from psycopg.rows import class_row

from services.kernel.postgres import Pool
from services.storage.objects import Removal, Run, Tier
from services.storage.store.runs import run_parameters, see_run

CLAIM_SECONDS: Final = 60

_TOMBSTONE: Final = """
UPDATE runs SET tombstoned_at = coalesce(tombstoned_at, now()) WHERE generation_id = %(generation_id)s AND run = %(run)s
"""
_MOVE_TO_REMOVALS: Final = """
INSERT INTO removals (tier, key, object_id, generation_id, run, unfinished)
SELECT tier, key, id, generation_id, run, false FROM gone
ON CONFLICT (tier, key) DO UPDATE SET seen_gone_at = NULL, next_try_at = now()
"""
_DELETE_OF_RUN: Final = f"""
WITH gone AS (
  DELETE FROM objects WHERE generation_id = %(generation_id)s AND run = %(run)s
  RETURNING tier, key, id, generation_id, run
)
{_MOVE_TO_REMOVALS}
"""
_DELETE_BY_IDS: Final = f"""
WITH gone AS (
  DELETE FROM objects WHERE id = ANY(%(ids)s) AND (%(owner_id)s::uuid IS NULL OR owner_id = %(owner_id)s)
  RETURNING tier, key, id, generation_id, run
)
{_MOVE_TO_REMOVALS}
"""
_CLAIM: Final = """
UPDATE removals SET claimed_until = now() + make_interval(secs => %(claim)s), tries = tries + 1
WHERE id IN (
  SELECT id FROM removals
  WHERE {which} AND tier = ANY(%(tiers)s) AND (claimed_until IS NULL OR claimed_until < now())
    AND NOT EXISTS (SELECT 1 FROM objects WHERE objects.tier = removals.tier AND objects.key = removals.key)
  ORDER BY next_try_at LIMIT 16 FOR UPDATE SKIP LOCKED
)
RETURNING id, tier, key, unfinished, tries
"""
_OF_RUN: Final = "generation_id = %(generation_id)s AND run = %(run)s"
_OF_IDS: Final = "object_id = ANY(%(ids)s)"
_STILL_THERE: Final = "seen_gone_at IS NULL"
_CLAIM_DUE: Final = _CLAIM.format(which="next_try_at <= now()")
_CLAIM_OF_RUN: Final = _CLAIM.format(which=f"{_OF_RUN} AND {_STILL_THERE}")
_CLAIM_OF_IDS: Final = _CLAIM.format(which=f"{_OF_IDS} AND {_STILL_THERE}")
# A write that was broken off may still take effect: where one was, another look is taken a while later.
_REMOVED: Final = """
WITH seen AS (
  UPDATE removals SET seen_gone_at = now(), claimed_until = NULL, tries = 0,
    next_try_at = now() + make_interval(secs => 60)
  WHERE id = ANY(%(ids)s) AND unfinished AND seen_gone_at IS NULL RETURNING id
)
DELETE FROM removals WHERE id = ANY(%(ids)s) AND (seen_gone_at IS NOT NULL OR NOT unfinished)
"""
_NOT_REMOVED: Final = """
UPDATE removals SET claimed_until = NULL,
  next_try_at = now() + make_interval(secs => least(300, power(2, least(tries, 9))))
WHERE id = ANY(%(ids)s)
"""
_LEFT_OF_RUN: Final = f"""
SELECT (SELECT count(*) FROM removals WHERE {_OF_RUN} AND {_STILL_THERE})
  + (SELECT count(*) FROM uploads WHERE {_OF_RUN}) AS left_over
"""
_LEFT_OF_IDS: Final = (
    f"SELECT count(*) AS left_over FROM removals WHERE {_OF_IDS} AND {_STILL_THERE}"
)
_PENDING: Final = f"SELECT count(*) AS pending FROM removals WHERE {_STILL_THERE}"


@dataclass(frozen=True, slots=True)
class RemovalScope:
    """Removals of one run, or of some objects."""

    run: Run | None = None
    ids: tuple[UUID, ...] = ()

    def parameters(self) -> dict[str, Any]:
        """For the statements that end in _OF_RUN and _OF_IDS."""
        return run_parameters(self.run) if self.run else {"ids": list(self.ids)}


class RemovalStore:
    """The rows of what is to be removed. Every method is one transaction."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def tombstone(self, run: Run, owner_id: UUID) -> int:
        """Forbids the run's objects and turns those there into removals; gives their number.

        Raises FailedPrecondition (STALE_LEASE) and NotFound for a run of somebody else.
        """
        async with self._pool.connection() as connection, connection.transaction():
            await see_run(connection, run, owner_id, tombstoned_is_fine=True)
            await connection.execute(_TOMBSTONE, run_parameters(run))
            return (await connection.execute(_DELETE_OF_RUN, run_parameters(run))).rowcount

    async def delete(self, object_ids: Collection[UUID], owner_id: UUID | None) -> int:
        """Turns objects into removals; only those of `owner_id` unless None. Gives their number."""
        async with self._pool.connection() as connection:
            parameters = {"ids": list(object_ids), "owner_id": owner_id}
            return (await connection.execute(_DELETE_BY_IDS, parameters)).rowcount

    async def claim(self, tiers: Collection[Tier], scope: RemovalScope | None) -> list[Removal]:
        """Removals in these tiers that are ours for CLAIM_SECONDS: those of the scope, or those that are due."""
        parameters: dict[str, Any] = {"tiers": list(tiers), "claim": CLAIM_SECONDS}
        statement = _CLAIM_DUE
        if scope is not None:
            parameters |= scope.parameters()
            statement = _CLAIM_OF_RUN if scope.run else _CLAIM_OF_IDS
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=class_row(Removal))
            await cursor.execute(statement, parameters)
            return await cursor.fetchall()

    async def removed(self, done: Collection[int], failed: Collection[int]) -> None:
        """Ends the claims: `done` are gone, `failed` are tried again later."""
        async with self._pool.connection() as connection, connection.transaction():
            if done:
                await connection.execute(_REMOVED, {"ids": list(done)})
            if failed:
                await connection.execute(_NOT_REMOVED, {"ids": list(failed)})

    async def left_over(self, scope: RemovalScope) -> int:
        """How many of the scope's bytes are not gone yet; transfers under way count."""
        statement = _LEFT_OF_RUN if scope.run else _LEFT_OF_IDS
        async with self._pool.connection() as connection:
            cursor = await connection.execute(statement, scope.parameters())
            row = await cursor.fetchone()
            return int(row[0]) if row else 0

    async def pending(self) -> int:
        """How many removals there are in all."""
        async with self._pool.connection() as connection:
            row = await (await connection.execute(_PENDING)).fetchone()
            return int(row[0]) if row else 0

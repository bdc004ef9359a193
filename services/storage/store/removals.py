"""All SQL about bytes that must go."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from psycopg.rows import class_row

from services.kernel.postgres import Pool
from services.storage.objects import Removal, Run, Tier, work_id
from services.storage.store.runs import run_parameters, see_run
from services.storage.store.thumbnails import MAY_HAVE_BYTES, THUMBNAIL_KEY

CLAIM_SECONDS: Final = 60

_TOMBSTONE: Final = """
UPDATE runs SET tombstoned_at = coalesce(tombstoned_at, now()) WHERE generation_id = %(generation_id)s AND run = %(run)s
"""
# A thumbnail goes with its object; one that may be on its way is looked for once more, a while later.
TO_REMOVE: Final = f"""
, to_remove AS (
  INSERT INTO removals (tier, key, object_id, generation_id, run, unfinished)
  SELECT tier, key, id, generation_id, run, false FROM gone
  UNION ALL
  SELECT tier, {THUMBNAIL_KEY.format("gone")}, id, generation_id, run, thumbnail_state = 'making' FROM gone
  WHERE {MAY_HAVE_BYTES.format("gone")}
  ON CONFLICT (tier, key) DO UPDATE SET unfinished = removals.unfinished OR excluded.unfinished, seen_gone_at = NULL,
    gone_at = NULL, next_try_at = now()
)
"""
"""Behind `gone`, the objects that are to go from where they lie."""
# Whoever deletes a generation deletes what a sweep has adopted of it, too.
_CLAIM_ADOPTED: Final = """
UPDATE objects SET generation_id = %(generation_id)s, run = %(run)s, media_index = works.position - 1
FROM unnest(%(work_ids)s::uuid[]) WITH ORDINALITY AS works (id, position)
WHERE objects.id = works.id AND owner_id = %(owner_id)s AND generation_id IS NULL AND adopted_at IS NOT NULL
"""
_MOST_MEDIA: Final = 64
_DELETE_OF_RUN: Final = f"""
WITH gone AS (
  DELETE FROM objects WHERE generation_id = %(generation_id)s AND run = %(run)s
  RETURNING tier, key, id, generation_id, run, thumbnail_state
)
{TO_REMOVE}
SELECT id FROM gone
"""
# One that is being moved leaves a copy: whoever makes it finds that it has lost the slot.
_DELETE_BY_IDS: Final = f"""
WITH gone AS (
  DELETE FROM objects WHERE id = ANY(%(ids)s) AND (%(owner_id)s::uuid IS NULL OR owner_id = %(owner_id)s)
  RETURNING tier, key, id, generation_id, run, thumbnail_state
), moves AS (
  DELETE FROM uploads USING gone WHERE object_id = gone.id
  RETURNING uploads.tier, uploads.key, object_id, uploads.generation_id, uploads.run
), copies AS (
  INSERT INTO removals (tier, key, object_id, generation_id, run, unfinished)
  SELECT tier, key, object_id, generation_id, run, true FROM moves WHERE key IS NOT NULL
  ON CONFLICT (tier, key) DO UPDATE SET unfinished = true, seen_gone_at = NULL, gone_at = NULL, next_try_at = now()
)
{TO_REMOVE}
SELECT id FROM gone
"""
_CLAIM: Final = """
UPDATE removals SET claimed_until = now() + make_interval(secs => %(claim)s), tries = tries + 1
WHERE id IN (
  SELECT id FROM removals
  WHERE {which} AND tier = ANY(%(tiers)s) AND (claimed_until IS NULL OR claimed_until < now())
    AND NOT EXISTS (SELECT 1 FROM objects WHERE objects.tier = removals.tier AND objects.key = removals.key)
    AND NOT EXISTS (
      SELECT 1 FROM objects WHERE objects.id = removals.object_id AND objects.tier = removals.tier
        AND {thumbnail_key} = removals.key AND {may_have_bytes}
    )
  ORDER BY next_try_at LIMIT 16 FOR UPDATE SKIP LOCKED
)
RETURNING id, tier, key, unfinished, tries
"""
_OF_RUN: Final = "generation_id = %(generation_id)s AND run = %(run)s"
_OF_IDS: Final = "object_id = ANY(%(ids)s)"
_STILL_THERE: Final = "seen_gone_at IS NULL"


def _claim(which: str) -> str:
    return _CLAIM.format(
        which=which,
        thumbnail_key=THUMBNAIL_KEY.format("objects"),
        may_have_bytes=MAY_HAVE_BYTES.format("objects"),
    )


_CLAIM_DUE: Final = _claim("next_try_at <= now()")
_CLAIM_OF_RUN: Final = _claim(f"{_OF_RUN} AND {_STILL_THERE}")
_CLAIM_OF_IDS: Final = _claim(f"{_OF_IDS} AND {_STILL_THERE}")
# A write that was broken off may still take effect: where one was, another look is taken a while later. What is gone
# then stays as a trace that is never due.
_REMOVED: Final = """
WITH seen AS (
  UPDATE removals SET seen_gone_at = now(), claimed_until = NULL, tries = 0,
    next_try_at = now() + make_interval(secs => 60)
  WHERE id = ANY(%(ids)s) AND unfinished AND seen_gone_at IS NULL
)
UPDATE removals SET seen_gone_at = now(), gone_at = now(), claimed_until = NULL, tries = 0, next_try_at = 'infinity'
WHERE id = ANY(%(ids)s) AND (seen_gone_at IS NOT NULL OR NOT unfinished)
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
_BEING_REMOVED: Final = (
    f"SELECT count(*) FROM removals WHERE {_STILL_THERE} AND claimed_until > now()"
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
    """The rows of what is to be removed, and the traces of what was. Every method is one transaction."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def tombstone(self, run: Run, owner_id: UUID) -> int:
        """Forbids the run's objects and turns those there into removals; gives their number.

        Raises FailedPrecondition (STALE_LEASE) and NotFound for a run of somebody else.
        """
        async with self._pool.connection() as connection, connection.transaction():
            await see_run(connection, run, owner_id, tombstoned_is_fine=True)
            await connection.execute(_TOMBSTONE, run_parameters(run))
            works = [work_id(run, index) for index in range(_MOST_MEDIA)]
            adopted = {**run_parameters(run), "owner_id": owner_id, "work_ids": works}
            await connection.execute(_CLAIM_ADOPTED, adopted)
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

    async def being_removed(self) -> int:
        """How many are claimed now, some of them perhaps by a process that died."""
        async with self._pool.connection() as connection:
            row = await (await connection.execute(_BEING_REMOVED)).fetchone()
            return int(row[0]) if row else 0

    async def pending(self) -> int:
        """How many bytes are to be removed and still there."""
        async with self._pool.connection() as connection:
            row = await (await connection.execute(_PENDING)).fetchone()
            return int(row[0]) if row else 0

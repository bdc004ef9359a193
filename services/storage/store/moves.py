"""All SQL about objects that go from one tier to another."""

from typing import Any, Final
from uuid import UUID

from psycopg.rows import class_row

from services.kernel.errors import NotFound, ReelgateError
from services.kernel.ids import new_id
from services.kernel.postgres import Pool
from services.storage.objects import LogEntry, StoredObject
from services.storage.store.removals import TO_REMOVE
from services.storage.store.runs import stale_lease
from services.storage.store.transfers import OBJECT_COLUMNS, Taken
from services.storage.store.upload_log import LOG_WITH, log_parameters

# The object is locked first: whoever deletes it comes wholly before, or wholly after and finds the slot.
_LIES: Final = """
lies AS (
  SELECT id, tier, key, generation_id, run, thumbnail_state FROM objects
  WHERE id = %(object_id)s AND tier = %(tier)s AND key = %(key)s FOR UPDATE
)
"""
_TAKE_SLOT: Final = f"""
WITH {_LIES}, before AS (SELECT 1 FROM uploads WHERE object_id = %(object_id)s)
INSERT INTO uploads (object_id, attempt, generation_id, run, lease_token, alive_until)
SELECT id, %(attempt)s, generation_id, run, 0, now() + make_interval(secs => %(alive)s) FROM lies
ON CONFLICT (object_id) DO UPDATE SET attempt = excluded.attempt, alive_until = excluded.alive_until
RETURNING EXISTS (SELECT 1 FROM before)
"""
_HOLDS: Final = """
SELECT 1 FROM uploads JOIN objects ON objects.id = object_id
WHERE object_id = %(object_id)s AND attempt = %(attempt)s AND objects.tier = %(tier)s AND objects.key = %(key)s
"""
# The thumbnail is made anew at the new place; the old one goes with the old bytes.
_COMMIT: Final = f"""
WITH {_LIES}, mine AS (
  DELETE FROM uploads USING lies WHERE object_id = lies.id AND attempt = %(attempt)s
  RETURNING object_id, uploads.tier, uploads.key
), moved AS (
  UPDATE objects SET tier = mine.tier, key = mine.key, missing_since = NULL, thumbnail_bytes = 0,
    thumbnail_tries = 0, thumbnail_due_at = now(),
    thumbnail_state = CASE thumbnail_state WHEN 'none' THEN 'none' ELSE 'pending' END
  FROM mine WHERE objects.id = mine.object_id
  RETURNING objects.*
), gone AS (
  SELECT lies.* FROM lies JOIN moved USING (id)
)
{TO_REMOVE}, {LOG_WITH.format(rows="moved", tier="moved.tier")}
SELECT {OBJECT_COLUMNS} FROM moved
"""


class MoveStore:
    """The rows of moves. Every method is one statement, about an object as it was found: at its old place."""

    def __init__(self, pool: Pool, *, lease_seconds: float) -> None:
        self._pool = pool
        self._lease_seconds = lease_seconds

    async def begin(self, found: StoredObject) -> Taken | None:
        """Takes the object's slot, from an earlier move if need be. None when it is not where it was found any more."""
        attempt = new_id()
        parameters = {**_place(found, attempt), "alive": self._lease_seconds}
        async with self._pool.connection() as connection:
            row = await (await connection.execute(_TAKE_SLOT, parameters)).fetchone()
            return Taken(attempt, bool(row[0])) if row else None

    async def still_allowed(self, found: StoredObject, attempt: UUID) -> None:
        """Raises NotFound when the object is gone, FailedPrecondition when a later move has the slot."""
        async with self._pool.connection() as connection:
            row = await (await connection.execute(_HOLDS, _place(found, attempt))).fetchone()
            if row is None:
                raise await self._why_lost(found)

    async def commit(
        self, found: StoredObject, attempt: UUID, entry: LogEntry | None
    ) -> StoredObject:
        """Puts the object to the place the attempt aimed at, and has removed the old one. Raises as `still_allowed`."""
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=class_row(StoredObject))
            await cursor.execute(_COMMIT, {**_place(found, attempt), **log_parameters(entry)})
            moved = await cursor.fetchone()
        if moved is None:
            raise await self._why_lost(found)
        return moved

    async def _why_lost(self, found: StoredObject) -> ReelgateError:
        async with self._pool.connection() as connection:
            cursor = await connection.execute("SELECT 1 FROM objects WHERE id = %s", (found.id,))
            there = await cursor.fetchone() is not None
        return stale_lease() if there else NotFound("There is no such object.")


def _place(found: StoredObject, attempt: UUID) -> dict[str, Any]:
    return {"object_id": found.id, "tier": found.tier, "key": found.key, "attempt": attempt}

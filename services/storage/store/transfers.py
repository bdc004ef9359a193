"""All SQL about objects and the transfers that make them."""

from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from psycopg.rows import class_row, dict_row

from services.kernel.errors import NotFound, ReelgateError
from services.kernel.ids import new_id
from services.kernel.postgres import Connection, Pool
from services.storage.objects import LogEntry, Slot, StoredObject, Tier
from services.storage.ports import Received
from services.storage.store.runs import run_parameters, see_run, stale_lease, tombstoned
from services.storage.store.upload_log import LOG_WITH, log_parameters

OBJECT_COLUMNS: Final = """
id, owner_id, generation_id, run, media_index, tier, key, size_bytes, content_type, sha256, width, height, duration_ms,
created_at, thumbnail_bytes
"""

_OBJECT_BY_ID: Final = f"SELECT {OBJECT_COLUMNS} FROM objects WHERE id = %(id)s"
_OBJECTS_BY_IDS: Final = f"SELECT {OBJECT_COLUMNS} FROM objects WHERE id = ANY(%(ids)s)"
_OBJECTS_PAGE: Final = f"""
SELECT {OBJECT_COLUMNS} FROM objects
WHERE (%(owner_id)s::uuid IS NULL OR owner_id = %(owner_id)s) AND (%(tier)s::text IS NULL OR tier = %(tier)s)
  AND (%(after)s::uuid IS NULL OR id > %(after)s)
ORDER BY id LIMIT %(count)s
"""
_USAGE: Final = """
SELECT coalesce(sum(size_bytes), 0)::bigint AS size_bytes, count(*) AS object_count
FROM objects WHERE owner_id = %(owner_id)s AND (generation_id IS NOT NULL OR adopted_at IS NOT NULL)
"""
# A sweep made a row of the bytes without knowing whose work they are.
_CLAIM_ADOPTED: Final = f"""
UPDATE objects SET generation_id = %(generation_id)s, run = %(run)s, media_index = %(media_index)s
WHERE id = %(object_id)s AND owner_id = %(owner_id)s AND adopted_at IS NOT NULL RETURNING {OBJECT_COLUMNS}
"""

_TAKE_SLOT: Final = """
WITH before AS (SELECT 1 FROM uploads WHERE object_id = %(object_id)s)
INSERT INTO uploads (object_id, attempt, generation_id, run, lease_token, alive_until)
VALUES (%(object_id)s, %(attempt)s, %(generation_id)s, %(run)s, %(lease_token)s,
  now() + make_interval(secs => %(alive)s))
ON CONFLICT (object_id) DO UPDATE SET attempt = excluded.attempt, lease_token = excluded.lease_token,
  alive_until = excluded.alive_until
RETURNING EXISTS (SELECT 1 FROM before) AS again
"""
# What is to be removed once more, whatever became of it before.
_AGAIN: Final = """
DO UPDATE SET unfinished = true, seen_gone_at = NULL, gone_at = NULL, next_try_at = now()
"""
# A key that is about to be written again is not to be removed (nor was it, for all that a trace says); one that was
# meant before, and is not any more, is.
_AIM: Final = f"""
WITH held AS (
  SELECT object_id, generation_id, run, tier, key FROM uploads
  WHERE object_id = %(object_id)s AND attempt = %(attempt)s FOR UPDATE
), left_behind AS (
  INSERT INTO removals (tier, key, object_id, generation_id, run, unfinished)
  SELECT tier, key, object_id, generation_id, run, true FROM held
  WHERE key IS NOT NULL AND (tier, key) <> (%(tier)s, %(key)s)
  ON CONFLICT (tier, key) {_AGAIN}
), kept AS (
  DELETE FROM removals USING held
  WHERE removals.tier = %(tier)s AND removals.key = %(key)s AND (claimed_until IS NULL OR claimed_until < now())
)
UPDATE uploads SET tier = %(tier)s, key = %(key)s FROM held WHERE uploads.object_id = held.object_id
RETURNING 1
"""
_BEING_REMOVED: Final = "SELECT 1 FROM removals WHERE tier = %(tier)s AND key = %(key)s"
_HOLDS: Final = """
SELECT coalesce(runs.tombstoned_at IS NOT NULL, false) AS tombstoned
FROM uploads LEFT JOIN runs USING (generation_id, run)
WHERE object_id = %(object_id)s AND attempt = %(attempt)s AND uploads.lease_token >= coalesce(runs.lease_token, 0)
"""
_LOGGED: Final = LOG_WITH.format(rows="mine", tier="mine.tier")
# A sweep may have adopted the bytes just before, taking them for a work that nobody knows.
_INSERT: Final = f"""
INSERT INTO objects (id, owner_id, generation_id, run, media_index, tier, key, size_bytes, content_type, sha256)
SELECT object_id, %(owner_id)s, generation_id, run, %(media_index)s, tier, key, %(size_bytes)s, %(content_type)s,
  %(sha256)s FROM mine
ON CONFLICT (id) DO UPDATE SET generation_id = excluded.generation_id, run = excluded.run,
  media_index = excluded.media_index, tier = excluded.tier, key = excluded.key, size_bytes = excluded.size_bytes,
  content_type = excluded.content_type, sha256 = excluded.sha256
  WHERE objects.owner_id = excluded.owner_id AND objects.generation_id IS NULL AND objects.adopted_at IS NOT NULL
RETURNING {OBJECT_COLUMNS}
"""
# The run is locked first: whoever tombstones it or raises its token comes wholly before or wholly after.
_COMMIT_WORK: Final = f"""
WITH allowed AS (
  SELECT lease_token FROM runs
  WHERE generation_id = %(generation_id)s AND run = %(run)s AND tombstoned_at IS NULL FOR UPDATE
), mine AS (
  DELETE FROM uploads USING allowed
  WHERE object_id = %(object_id)s AND attempt = %(attempt)s AND uploads.lease_token >= allowed.lease_token
  RETURNING object_id, generation_id, run, tier, key
), {_LOGGED}
{_INSERT}
"""
_COMMIT_INPUT: Final = f"""
WITH mine AS (
  DELETE FROM uploads WHERE object_id = %(object_id)s AND attempt = %(attempt)s
  RETURNING object_id, generation_id, run, tier, key
), {_LOGGED}
{_INSERT}
"""
_LEAVE_SLOT: Final = f"""
WITH mine AS (
  DELETE FROM uploads WHERE object_id = %(object_id)s AND attempt = %(attempt)s RETURNING tier, key
), {LOG_WITH.format(rows="(SELECT 1) AS once", tier="%(aimed_tier)s")}
SELECT tier, key FROM mine
"""
# Unless a later attempt has the slot, or had it and succeeded: then the key is theirs.
_REMOVE_LEFTOVER: Final = f"""
INSERT INTO removals (tier, key, object_id, generation_id, run, unfinished)
SELECT %(tier)s, %(key)s, %(object_id)s, %(generation_id)s, %(run)s, true
WHERE NOT EXISTS (SELECT 1 FROM uploads WHERE object_id = %(object_id)s)
  AND NOT EXISTS (SELECT 1 FROM objects WHERE tier = %(tier)s AND key = %(key)s)
ON CONFLICT (tier, key) {_AGAIN}
"""
_RENEW: Final = """
WITH renewed AS (
  UPDATE uploads SET alive_until = now() + make_interval(secs => %(alive)s) WHERE attempt = ANY(%(attempts)s)
  RETURNING attempt, generation_id, run
)
SELECT attempt, coalesce(tombstoned_at IS NOT NULL, false) AS tombstoned
FROM renewed LEFT JOIN runs USING (generation_id, run)
"""
# A transfer that died long ago was under way when the backup was made that this database was restored from, most
# likely: it may have ended well since. What it left is for the sweep to judge, which adopts what is whole.
_EXPIRE: Final = f"""
WITH dead AS (
  DELETE FROM uploads WHERE alive_until < now() AND attempt <> ALL(%(attempts)s)
  RETURNING object_id, generation_id, run, tier, key, alive_until
)
INSERT INTO removals (tier, key, object_id, generation_id, run, unfinished)
SELECT tier, key, object_id, generation_id, run, true FROM dead
WHERE key IS NOT NULL AND alive_until > now() - make_interval(hours => 1)
ON CONFLICT (tier, key) {_AGAIN}
"""

_VOLUME_LOCK: Final = 0x766F6C756D65
_AGREED_VOLUME: Final = "SELECT id FROM volume"
_AGREE: Final = """
INSERT INTO volume (id) VALUES (%(id)s) ON CONFLICT (the_only) DO UPDATE SET id = volume.id RETURNING id
"""


@dataclass(frozen=True, slots=True)
class Taken:
    """A slot that is ours for now. `again`: an earlier attempt did not end properly."""

    attempt: UUID
    again: bool


@dataclass(frozen=True, slots=True)
class Usage:
    """What one owner keeps."""

    size_bytes: int
    object_count: int


class Store:
    """The service's rows. Every method is one transaction.

    A transfer that is not renewed for `lease_seconds` loses its slot, and what it left is removed.
    """

    def __init__(self, pool: Pool, *, lease_seconds: float) -> None:
        self._pool = pool
        self._lease_seconds = lease_seconds

    # Objects

    async def get(self, object_id: UUID) -> StoredObject | None:
        """One committed object."""
        async with self._pool.connection() as connection:
            return await _object(connection, object_id)

    async def get_many(self, object_ids: Iterable[UUID]) -> dict[UUID, StoredObject]:
        """Those of the objects that are there."""
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=class_row(StoredObject))
            await cursor.execute(_OBJECTS_BY_IDS, {"ids": list(object_ids)})
            return {found.id: found for found in await cursor.fetchall()}

    async def page(
        self, owner_id: UUID | None, tier: Tier | None, after: UUID | None, count: int
    ) -> list[StoredObject]:
        """Up to `count` objects behind `after`, by id."""
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=class_row(StoredObject))
            parameters = {"owner_id": owner_id, "tier": tier, "after": after, "count": count}
            await cursor.execute(_OBJECTS_PAGE, parameters)
            return await cursor.fetchall()

    async def usage(self, owner_id: UUID) -> Usage:
        """Bytes and number of an owner's works."""
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=class_row(Usage))
            await cursor.execute(_USAGE, {"owner_id": owner_id})
            found = await cursor.fetchone()
            return found or Usage(0, 0)

    # Transfers

    async def begin(self, slot: Slot) -> StoredObject | Taken:
        """Takes the slot, from an earlier attempt if need be; or gives the object that is already there.

        Raises FailedPrecondition (STALE_LEASE, TOMBSTONED) and NotFound for a run of somebody else.
        """
        attempt = new_id()
        async with self._pool.connection() as connection, connection.transaction():
            if slot.run is not None:
                await see_run(connection, slot.run, slot.owner_id)
            if (found := await _object(connection, slot.id)) is not None:
                known = found.generation_id is not None or slot.run is None
                return found if known else await _claimed(connection, slot)
            cursor = connection.cursor(row_factory=dict_row)
            await cursor.execute(
                _TAKE_SLOT,
                {**_slot_parameters(slot), "attempt": attempt, "alive": self._lease_seconds},
            )
            row = await cursor.fetchone()
            return Taken(attempt, bool(row and row["again"]))

    async def aim(self, slot: Slot, attempt: UUID, tier: Tier, key: str) -> bool:
        """Notes where the bytes will go, before the first of them does. False while old bytes there are being removed.

        Raises FailedPrecondition when the slot is not the attempt's any more.
        """
        place = {"object_id": slot.id, "attempt": attempt, "tier": tier, "key": key}
        async with self._pool.connection() as connection, connection.transaction():
            cursor = await connection.execute(_AIM, place)
            if await cursor.fetchone() is None:
                raise await _why_lost(connection, slot)
            cursor = await connection.execute(_BEING_REMOVED, place)
            return await cursor.fetchone() is None

    async def still_allowed(self, slot: Slot, attempt: UUID) -> None:
        """Asked right before the bytes become visible. Raises FailedPrecondition (STALE_LEASE, TOMBSTONED)."""
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=dict_row)
            await cursor.execute(_HOLDS, {"object_id": slot.id, "attempt": attempt})
            row = await cursor.fetchone()
            if row is None or row["tombstoned"]:
                raise await _why_lost(connection, slot)

    async def commit(
        self,
        slot: Slot,
        attempt: UUID,
        received: Received,
        content_type: str,
        entry: LogEntry | None = None,
    ) -> StoredObject:
        """Makes the object exist, and logs how. Raises FailedPrecondition (STALE_LEASE, TOMBSTONED)."""
        parameters = {
            **_slot_parameters(slot),
            **log_parameters(entry),
            "attempt": attempt,
            "owner_id": slot.owner_id,
            "media_index": slot.media_index,
            "size_bytes": received.size_bytes,
            "sha256": received.sha256,
            "content_type": content_type,
        }
        statement = _COMMIT_INPUT if slot.run is None else _COMMIT_WORK
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=class_row(StoredObject))
            await cursor.execute(statement, parameters)
            kept = await cursor.fetchone()
            if kept is None:
                raise await _why_lost(connection, slot)
            return kept

    async def abandon(
        self,
        slot: Slot,
        attempt: UUID,
        aimed: tuple[Tier, str] | None,
        *,
        clean: bool,
        entry: LogEntry | None = None,
        failure_reason: str = "",
    ) -> None:
        """Leaves the slot, and has removed what the attempt (or one before it) may have left where it was `aimed`.

        `clean`: nothing is left at the place the attempt aimed at. An `entry` is logged with the `failure_reason`.
        """
        async with self._pool.connection() as connection, connection.transaction():
            leaving = {"object_id": slot.id, "attempt": attempt, "aimed_tier": aimed and aimed[0]}
            cursor = await connection.execute(
                _LEAVE_SLOT, {**leaving, **log_parameters(entry, failure_reason)}
            )
            places = {aimed, *((Tier(tier), key) for tier, key in await cursor.fetchall() if key)}
            for place in places - ({aimed} if clean else set()) - {None}:
                tier, key = place or ("", "")
                await connection.execute(
                    _REMOVE_LEFTOVER, {**_slot_parameters(slot), "tier": tier, "key": key}
                )

    async def renew(self, attempts: Collection[UUID]) -> dict[UUID, bool]:
        """Says that these attempts live. Those that still have their slots, and whether their run was tombstoned."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                _RENEW, {"attempts": list(attempts), "alive": self._lease_seconds}
            )
            return dict(await cursor.fetchall())

    async def expire(self, living: Collection[UUID]) -> int:
        """Turns transfers that died, other than the `living`, into removals of what they may have left."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(_EXPIRE, {"attempts": list(living)})
            return cursor.rowcount

    # The local volume

    async def agree_on_volume(self, name: Callable[[], Awaitable[UUID]]) -> UUID | None:
        """The id of the one volume; where there was none it is the one that `name` finds on the disk or writes there.

        None while another replica settles it. Whoever dies in between leaves a name on the disk: the next one agrees.
        """
        async with self._pool.connection() as connection, connection.transaction():
            asked = await connection.execute(
                "SELECT pg_try_advisory_xact_lock(%s::bigint)", (_VOLUME_LOCK,)
            )
            if await asked.fetchone() != (True,):
                return None
            row = await (await connection.execute(_AGREED_VOLUME)).fetchone()
            if row is None:
                agreed = await connection.execute(_AGREE, {"id": await name()})
                row = await agreed.fetchone()
            return row[0] if row else None


async def _object(connection: Connection, object_id: UUID) -> StoredObject | None:
    cursor = connection.cursor(row_factory=class_row(StoredObject))
    await cursor.execute(_OBJECT_BY_ID, {"id": object_id})
    return await cursor.fetchone()


async def _claimed(connection: Connection, slot: Slot) -> StoredObject:
    """The adopted object, now known as the slot's."""
    cursor = connection.cursor(row_factory=class_row(StoredObject))
    parameters = {"owner_id": slot.owner_id, "media_index": slot.media_index}
    await cursor.execute(_CLAIM_ADOPTED, {**_slot_parameters(slot), **parameters})
    if (found := await cursor.fetchone()) is None:
        raise NotFound("There is no such generation.")
    return found


async def _why_lost(connection: Connection, slot: Slot) -> ReelgateError:
    if slot.run is not None:
        cursor = connection.cursor(row_factory=dict_row)
        await cursor.execute(
            "SELECT tombstoned_at IS NOT NULL AS tombstoned FROM runs WHERE "
            "generation_id = %(generation_id)s AND run = %(run)s",
            run_parameters(slot.run),
        )
        row = await cursor.fetchone()
        if row is not None and row["tombstoned"]:
            return tombstoned()
    return stale_lease()


def _slot_parameters(slot: Slot) -> dict[str, Any]:
    if slot.run is None:
        run: dict[str, Any] = {"generation_id": None, "run": 0, "lease_token": 0}
    else:
        run = run_parameters(slot.run)
    return {"object_id": slot.id, **run}

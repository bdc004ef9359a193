"""All SQL of sweeps: what the rows know of keys, and what a sweep notes down."""

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from psycopg.rows import class_row

from services.kernel.postgres import Pool, connect
from services.storage.keys import KeyName
from services.storage.objects import Tier
from services.storage.ports import Listed

TRACES_DAYS: Final = 60
LOG_DAYS: Final = 90
_AT_ONCE: Final = 1000

_LOCK: Final = "SELECT pg_try_advisory_lock(hashtext(current_schema() || '.sweep'))"
_UNLOCK: Final = "SELECT pg_advisory_unlock(hashtext(current_schema() || '.sweep'))"
_NOW: Final = "SELECT now()"
_INSTALLATION: Final = "SELECT id, since FROM installation"
_COUNT: Final = "SELECT count(*) FROM objects WHERE tier = ANY(%(tiers)s)"
_LISTED: Final = """
unnest(%(keys)s::text[], %(ids)s::uuid[], %(times)s::timestamptz[], %(sizes)s::bigint[])
  AS listed (key, id, modified_at, size_bytes)
"""
# A write that was under way when its key was removed can take effect this much later; what is written later than that
# was written by somebody who had a right to.
_TRACED: Final = """
(seen_gone_at IS NOT NULL AND gone_at IS NOT NULL AND {modified_at} <= gone_at + make_interval(hours => 1))
"""
# One statement, one state: a transfer that ends meanwhile is seen before its end or after, never neither.
_KNOWN: Final = f"""
SELECT listed.key, here.id IS NOT NULL AS is_live, coalesce(here.missing_since IS NOT NULL, false) AS is_missing,
  same.id IS NOT NULL AS has_object, CASE WHEN here.id IS NULL THEN same.tier END AS other_tier, same.key AS other_key,
  EXISTS (SELECT 1 FROM uploads WHERE object_id = listed.id)
    OR EXISTS (SELECT 1 FROM presigned_uploads WHERE object_id = listed.id) AS is_busy,
  removals.id IS NOT NULL AND (gone_at IS NULL OR seen_gone_at IS NULL) AS is_going,
  coalesce({_TRACED.format(modified_at="listed.modified_at")}, false) AS is_traced,
  orphans.key IS NOT NULL AS is_marked,
  coalesce(orphans.modified_at = listed.modified_at
    AND orphans.marked_at <= now() - make_interval(secs => %(keep)s), false) AS is_due
FROM {_LISTED}
LEFT JOIN objects AS here ON here.tier = %(tier)s AND here.key = listed.key
LEFT JOIN objects AS same ON same.id = listed.id
LEFT JOIN removals ON removals.tier = %(tier)s AND removals.key = listed.key
LEFT JOIN orphans ON orphans.tier = %(tier)s AND orphans.key = listed.key
"""
_WITHOUT_BYTES: Final = """
SELECT key, missing_since IS NOT NULL AS is_missing FROM objects
WHERE tier = %(tier)s AND key COLLATE "C" > %(after)s AND (%(until)s::text IS NULL OR key COLLATE "C" <= %(until)s)
  AND starts_with(key, %(prefix)s)
  AND NOT EXISTS (SELECT 1 FROM unnest(%(keys)s::text[]) AS listed (key) WHERE listed.key = objects.key)
ORDER BY key COLLATE "C" LIMIT %(count)s
"""
_FOUND: Final = """
UPDATE objects SET missing_since = NULL WHERE tier = %(tier)s AND key = ANY(%(keys)s) AND missing_since IS NOT NULL
"""
_MISSING: Final = """
UPDATE objects SET missing_since = now() WHERE tier = %(tier)s AND key = ANY(%(keys)s) AND missing_since IS NULL
RETURNING 1
"""
_STILL_THERE: Final = "SELECT 1 FROM objects WHERE tier = %(tier)s AND key = ANY(%(keys)s)"
_MARK: Final = f"""
INSERT INTO orphans (tier, key, object_id, size_bytes, modified_at)
SELECT %(tier)s, key, id, size_bytes, modified_at FROM {_LISTED}
ON CONFLICT (tier, key) DO UPDATE SET seen_at = now(), size_bytes = excluded.size_bytes,
  marked_at = CASE WHEN orphans.modified_at = excluded.modified_at THEN orphans.marked_at ELSE now() END,
  modified_at = excluded.modified_at
"""
_UNMARK: Final = "DELETE FROM orphans WHERE tier = %(tier)s AND key = ANY(%(keys)s)"
_UNMARK_UNSEEN: Final = (
    "DELETE FROM orphans WHERE tier = ANY(%(tiers)s) AND seen_at < %(since)s RETURNING 1"
)
_ADOPT: Final = f"""
INSERT INTO objects
  (id, owner_id, run, media_index, tier, key, size_bytes, content_type, sha256, created_at, adopted_at)
SELECT %(id)s, %(owner_id)s, 0, 0, %(tier)s, %(key)s, %(size_bytes)s, %(content_type)s, %(sha256)s, %(modified_at)s,
  CASE WHEN NOT %(is_input)s THEN now() END
WHERE NOT EXISTS (SELECT 1 FROM uploads WHERE object_id = %(id)s)
  AND NOT EXISTS (SELECT 1 FROM presigned_uploads WHERE object_id = %(id)s)
  AND NOT EXISTS (
    SELECT 1 FROM removals WHERE tier = %(tier)s AND key = %(key)s
      AND (gone_at IS NULL OR {_TRACED.format(modified_at="%(modified_at)s")})
  )
ON CONFLICT DO NOTHING RETURNING 1
"""
_PUT_RIGHT: Final = """
UPDATE objects SET tier = %(tier)s, key = %(key)s, missing_since = NULL,
  thumbnail_state = 'pending', thumbnail_bytes = 0, thumbnail_due_at = now()
WHERE id = %(id)s AND tier = %(other_tier)s AND key = %(other_key)s AND size_bytes = %(size_bytes)s
  AND sha256 = %(sha256)s AND NOT EXISTS (SELECT 1 FROM uploads WHERE object_id = %(id)s)
RETURNING 1
"""
# A row is changed and none is made, so that it is settled between us and a transfer that aims at the key: that deletes
# the row, before us or after.
_CONDEMN_TRACED: Final = """
UPDATE removals SET seen_gone_at = NULL, gone_at = NULL, next_try_at = now()
WHERE tier = %(tier)s AND key = ANY(%(keys)s) AND gone_at IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM objects WHERE objects.tier = removals.tier AND objects.key = removals.key)
  AND NOT EXISTS (SELECT 1 FROM uploads WHERE uploads.object_id = removals.object_id)
RETURNING key
"""
_CONDEMN_THUMBNAILS: Final = """
INSERT INTO removals (tier, key, object_id, run, unfinished)
SELECT tier, key, object_id, 0, false FROM orphans
WHERE tier = %(tier)s AND key = ANY(%(keys)s)
  AND NOT EXISTS (SELECT 1 FROM objects WHERE objects.id = orphans.object_id)
  AND NOT EXISTS (SELECT 1 FROM uploads WHERE uploads.object_id = orphans.object_id)
ON CONFLICT (tier, key) DO UPDATE SET seen_gone_at = NULL, gone_at = NULL, next_try_at = now()
RETURNING key
"""
_BUSY_IDS: Final = """
SELECT object_id FROM uploads WHERE object_id = ANY(%(ids)s)
UNION SELECT object_id FROM presigned_uploads WHERE object_id = ANY(%(ids)s)
"""
_MARKED: Final = "SELECT count(*) FROM orphans"
_FORGET_TRACES: Final = f"""
DELETE FROM removals WHERE id IN (
  SELECT id FROM removals WHERE gone_at < now() - make_interval(days => {TRACES_DAYS}) AND seen_gone_at IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM orphans WHERE orphans.tier = removals.tier AND orphans.key = removals.key)
  LIMIT %(count)s
)
"""
_FORGET_LOG: Final = f"""
DELETE FROM upload_log WHERE id IN (
  SELECT id FROM upload_log WHERE created_at < now() - make_interval(days => {LOG_DAYS}) LIMIT %(count)s
)
"""


@dataclass(frozen=True, slots=True)
class Known:
    """What the rows know of a listed key.

    `is_live`: an object's, whose row may say that its bytes are missing; else `other_tier` and `other_key` say where
    the object of this id lies, if anywhere. `is_busy`: a transfer writes it; `is_going`: it is being removed;
    `is_traced`: it was, and what is there was written before or just then. `is_due`: marked long enough ago.
    """

    key: str
    is_live: bool
    is_missing: bool
    has_object: bool
    other_tier: Tier | None
    other_key: str | None
    is_busy: bool
    is_going: bool
    is_traced: bool
    is_marked: bool
    is_due: bool

    def __post_init__(self) -> None:
        """The database gives the tier as text."""
        object.__setattr__(self, "other_tier", self.other_tier and Tier(self.other_tier))


@dataclass(frozen=True, slots=True)
class Installation:
    """Which one this is, and since when it exists."""

    id: UUID
    since: datetime


@dataclass(frozen=True, slots=True)
class Found:
    """Bytes whose row is to be made or put right: the key, and what was read under it."""

    name: KeyName
    listed: Listed
    content_type: str
    sha256: bytes

    def parameters(self, tier: Tier) -> dict[str, Any]:
        """For _ADOPT and _PUT_RIGHT."""
        return {
            "tier": tier,
            "key": self.name.key,
            "id": self.name.id,
            "owner_id": self.name.owner_id,
            "is_input": self.name.is_input,
            "size_bytes": self.listed.size_bytes,
            "modified_at": self.listed.modified_at,
            "content_type": self.content_type,
            "sha256": self.sha256,
        }


Pair = tuple[KeyName, Listed]


class SweepStore:
    """The rows that sweeps look at; `direct_url` is for the lock of `only_one`."""

    def __init__(self, pool: Pool, direct_url: str) -> None:
        self._pool = pool
        self._direct_url = direct_url

    @asynccontextmanager
    async def only_one(self) -> AsyncIterator[bool]:
        """Whether no other sweep runs; none begins before the block ends. The lock goes with the process."""
        async with await connect(self._direct_url) as connection:
            row = await (await connection.execute(_LOCK)).fetchone()
            alone = bool(row and row[0])
            yield alone
            if alone:
                # A server notices a closed connection a moment later, and whoever comes next would be turned away.
                await connection.execute(_UNLOCK)

    async def installation(self) -> Installation:
        """Which installation this is."""
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=class_row(Installation))
            found = await (await cursor.execute(_INSTALLATION)).fetchone()
            assert found is not None  # noqa: S101 - made by the migration
            return found

    async def now(self) -> datetime:
        """The database's time."""
        return await self._one(_NOW, {})  # type: ignore[no-any-return]

    async def count(self, tiers: Collection[Tier]) -> int:
        """How many objects these tiers have."""
        return int(await self._one(_COUNT, {"tiers": list(tiers)}))

    async def marked(self) -> int:
        """How many keys are marked."""
        return int(await self._one(_MARKED, {}))

    async def known(self, tier: Tier, pairs: Sequence[Pair], keep_seconds: float) -> list[Known]:
        """What is known of listed keys, in no particular order."""
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=class_row(Known))
            await cursor.execute(_KNOWN, {**_listed(tier, pairs), "keep": keep_seconds})
            return await cursor.fetchall()

    async def without_bytes(
        self, tier: Tier, prefix: str, after: str, until: str | None, keys: Collection[str]
    ) -> list[tuple[str, bool]]:
        """Up to 1,000 objects behind `after` that are not among `keys`, and whether they are known to be missing."""
        async with self._pool.connection() as connection:
            parameters = {
                "tier": tier,
                "prefix": prefix,
                "after": after,
                "until": until,
                "keys": list(keys),
                "count": _AT_ONCE,
            }
            cursor = await connection.execute(_WITHOUT_BYTES, parameters)
            return [(row[0], row[1]) for row in await cursor.fetchall()]

    async def found(self, tier: Tier, keys: Collection[str]) -> None:
        """These objects have their bytes after all."""
        await self._do(_FOUND, {"tier": tier, "keys": list(keys)})

    async def missing(self, tier: Tier, keys: Collection[str], *, dry_run: bool) -> int:
        """These objects have no bytes; the number of those that were not deleted since their rows were read."""
        statement = _STILL_THERE if dry_run else _MISSING
        async with self._pool.connection() as connection:
            cursor = await connection.execute(statement, {"tier": tier, "keys": list(keys)})
            return cursor.rowcount

    async def mark(self, tier: Tier, pairs: Sequence[Pair]) -> None:
        """These keys are orphans; one whose bytes changed since it was marked counts as marked now."""
        await self._do(_MARK, _listed(tier, pairs))

    async def unmark(self, tier: Tier, keys: Collection[str]) -> None:
        """These keys are no orphans, or are being removed."""
        await self._do(_UNMARK, {"tier": tier, "keys": list(keys)})

    async def unmark_unseen(self, tiers: Collection[Tier], since: datetime) -> None:
        """Whatever was not marked again since then is gone."""
        await self._do(_UNMARK_UNSEEN, {"tiers": list(tiers), "since": since})

    async def adopt(self, tier: Tier, found: Found) -> bool:
        """Makes an object of bytes that no row knew. False when one knows them by now."""
        return await self._do(_ADOPT, found.parameters(tier)) > 0

    async def put_right(self, tier: Tier, found: Found, known: Known) -> bool:
        """Has an object lie here that has lost its bytes elsewhere. False unless these are the same bytes."""
        other = {"other_tier": known.other_tier, "other_key": known.other_key}
        return await self._do(_PUT_RIGHT, found.parameters(tier) | other) > 0

    async def condemn(self, tier: Tier, names: Sequence[KeyName]) -> list[str]:
        """Turns orphans into removals, but for those that came to life meanwhile; gives their keys."""
        thumbnails = [one.key for one in names if one.is_thumbnail]
        async with self._pool.connection() as connection:
            parameters = {"tier": tier, "keys": [one.key for one in names]}
            traced = await (await connection.execute(_CONDEMN_TRACED, parameters)).fetchall()
            parameters = {"tier": tier, "keys": thumbnails}
            others = await (await connection.execute(_CONDEMN_THUMBNAILS, parameters)).fetchall()
        return list({row[0] for row in (*traced, *others)})

    async def busy(self, ids: Collection[UUID]) -> set[UUID]:
        """Those of the objects that transfers work for."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(_BUSY_IDS, {"ids": list(ids)})
            return {row[0] for row in await cursor.fetchall()}

    async def forget(self) -> None:
        """Removes traces and lines of the upload log that are old enough."""
        for statement in (_FORGET_TRACES, _FORGET_LOG):
            while await self._do(statement, {"count": _AT_ONCE}) == _AT_ONCE:
                pass

    async def _do(self, statement: str, parameters: dict[str, Any]) -> int:
        async with self._pool.connection() as connection:
            return (await connection.execute(statement, parameters)).rowcount

    async def _one(self, statement: str, parameters: dict[str, Any]) -> Any:
        async with self._pool.connection() as connection:
            row = await (await connection.execute(statement, parameters)).fetchone()
            assert row is not None  # noqa: S101 - each of these gives one row
            return row[0]


def _listed(tier: Tier, pairs: Sequence[Pair]) -> dict[str, Any]:
    return {
        "tier": tier,
        "keys": [name.key for name, _ in pairs],
        "ids": [name.id for name, _ in pairs],
        "times": [listed.modified_at for _, listed in pairs],
        "sizes": [listed.size_bytes for _, listed in pairs],
    }

"""All SQL about thumbnails."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from math import inf
from typing import Any, Final
from uuid import UUID

from psycopg.rows import class_row

from services.kernel.postgres import Pool
from services.storage.objects import Tier

# Reading, drawing and writing have limits of their own, which together stay below it.
CLAIM_SECONDS: Final = 300

# As objects.thumbnail_key makes it. {0} is the table.
THUMBNAIL_KEY: Final = "regexp_replace({0}.key, '[.][^./]*$', '.thumb.webp')"
# Bytes of a thumbnail lie beside a row of which this is true, or may.
MAY_HAVE_BYTES: Final = "{0}.thumbnail_state IN ('making', 'done')"

# The newest first: somebody is looking at it. One whose old thumbnail is being removed this moment is left alone.
_CLAIM: Final = f"""
WITH next AS (
  SELECT id, tier, key FROM objects
  WHERE thumbnail_state IN ('pending', 'making') AND thumbnail_due_at <= now() AND tier = ANY(%(tiers)s)
  ORDER BY thumbnail_due_at DESC LIMIT 1 FOR UPDATE SKIP LOCKED
), old AS (
  SELECT removals.id FROM removals JOIN next
    ON removals.tier = next.tier AND removals.key = {THUMBNAIL_KEY.format("next")}
), forgotten AS (
  DELETE FROM removals USING old WHERE removals.id = old.id AND (claimed_until IS NULL OR claimed_until < now())
  RETURNING removals.id
)
UPDATE objects SET thumbnail_state = 'making', thumbnail_tries = thumbnail_tries + 1,
  thumbnail_due_at = clock_timestamp() + make_interval(secs => %(claim)s)
FROM next WHERE objects.id = next.id
RETURNING objects.id, generation_id, run, objects.tier, objects.key, content_type, size_bytes, thumbnail_tries AS tries,
  thumbnail_due_at AS until, (SELECT count(*) FROM old) > (SELECT count(*) FROM forgotten) AS being_removed
"""
_DUE: Final = """
SELECT extract(epoch FROM min(thumbnail_due_at) - now()) FROM objects
WHERE thumbnail_state IN ('pending', 'making') AND tier = ANY(%(tiers)s)
"""
# The time at which a claim ends is its name: nobody else has the same.
_MINE: Final = """
id = %(id)s AND tier = %(tier)s AND key = %(key)s AND thumbnail_state = 'making' AND thumbnail_due_at = %(until)s
"""
_IS_MINE: Final = f"SELECT 1 FROM objects WHERE {_MINE}"
_DONE: Final = f"""
UPDATE objects SET thumbnail_state = 'done', thumbnail_bytes = %(size_bytes)s, thumbnail_tries = 0,
  width = %(width)s, height = %(height)s, duration_ms = %(duration_ms)s
WHERE {_MINE}
"""
_NONE: Final = f"UPDATE objects SET thumbnail_state = 'none' WHERE {_MINE}"
_LATER: Final = f"""
UPDATE objects SET thumbnail_due_at = now() + make_interval(secs => %(seconds)s),
  thumbnail_tries = thumbnail_tries - %(forgiven)s
WHERE {_MINE}
"""
# Unless the object is still there and somebody else has made its thumbnail, or is about to.
_REMOVE: Final = f"""
INSERT INTO removals (tier, key, object_id, generation_id, run, unfinished)
SELECT %(tier)s, %(thumbnail_key)s, %(id)s, %(generation_id)s, %(run)s, true
WHERE NOT EXISTS (
  SELECT 1 FROM objects
  WHERE id = %(id)s AND tier = %(tier)s AND key = %(key)s AND {MAY_HAVE_BYTES.format("objects")}
)
ON CONFLICT (tier, key) DO UPDATE SET unfinished = true, seen_gone_at = NULL, gone_at = NULL, next_try_at = now()
"""
# Whoever is at it now may have been too early: he is not to say that it is done.
_FORGET_REMOVAL: Final = "DELETE FROM removals WHERE tier = %(tier)s AND key = %(thumbnail_key)s"


@dataclass(frozen=True, slots=True)
class Claim:
    """An object whose thumbnail is ours to make `until` then; `tries` counts those that ended without a word, and this.

    `being_removed`: old bytes are being removed from where it would lie.
    """

    id: UUID
    generation_id: UUID | None
    run: int
    tier: Tier
    key: str
    content_type: str
    size_bytes: int
    tries: int
    until: datetime
    being_removed: bool

    def __post_init__(self) -> None:
        """The database gives the tier as text."""
        object.__setattr__(self, "tier", Tier(self.tier))

    def parameters(self) -> dict[str, Any]:
        """For all statements about it."""
        return {
            "id": self.id,
            "generation_id": self.generation_id,
            "run": self.run,
            "tier": self.tier,
            "key": self.key,
            "until": self.until,
        }


class ThumbnailStore:
    """Which objects still need a thumbnail. Every method is one transaction."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def claim(self, tiers: Collection[Tier]) -> Claim | None:
        """The next object in these tiers, which nobody else gets for CLAIM_SECONDS."""
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=class_row(Claim))
            await cursor.execute(_CLAIM, {"tiers": list(tiers), "claim": CLAIM_SECONDS})
            return await cursor.fetchone()

    async def due_in_seconds(self, tiers: Collection[Tier]) -> float:
        """How long until the next object in these tiers can be claimed; infinite when none is to come."""
        async with self._pool.connection() as connection:
            row = await (await connection.execute(_DUE, {"tiers": list(tiers)})).fetchone()
            return inf if row is None or row[0] is None else float(row[0])

    async def is_mine(self, claim: Claim) -> bool:
        """False when the object went or moved meanwhile, or the claim ran out."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(_IS_MINE, claim.parameters())
            return await cursor.fetchone() is not None

    async def done(
        self, claim: Claim, *, size_bytes: int, width: int, height: int, duration_ms: int
    ) -> bool:
        """Its thumbnail is there. False when it is not mine any more."""
        measures = {
            "size_bytes": size_bytes,
            "width": width,
            "height": height,
            "duration_ms": duration_ms,
        }
        return bool(await self._execute(_DONE, claim.parameters() | measures))

    async def none(self, claim: Claim) -> bool:
        """It will never have one. False when it is not mine any more."""
        return bool(await self._execute(_NONE, claim.parameters()))

    async def later(self, claim: Claim, seconds: float, *, forgiven: bool) -> None:
        """To be tried again after so long; `forgiven` when it was no fault of the file."""
        await self._execute(
            _LATER, claim.parameters() | {"seconds": seconds, "forgiven": int(forgiven)}
        )

    async def remove(self, claim: Claim, thumbnail_key: str) -> None:
        """Has the bytes that a claim wrote removed, unless they are the object's by now."""
        parameters = claim.parameters() | {"thumbnail_key": thumbnail_key}
        async with self._pool.connection() as connection, connection.transaction():
            await connection.execute(_FORGET_REMOVAL, parameters)
            await connection.execute(_REMOVE, parameters)

    async def _execute(self, statement: str, parameters: dict[str, Any]) -> int:
        async with self._pool.connection() as connection:
            return (await connection.execute(statement, parameters)).rowcount

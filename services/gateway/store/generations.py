"""SQL of generations as their owner sees and changes them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final
from uuid import UUID

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from services.gateway.generations import (
    ADMISSION_LIMIT_SECONDS,
    MAX_ACTIVE_PER_USER,
    Generation,
    Media,
    NewGeneration,
)
from services.kernel.errors import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    NotFound,
    ResourceExhausted,
    Unauthenticated,
)
from services.kernel.postgres import Connection, Pool

COLUMNS: Final = """
    g.id, g.user_id, g.api_key_id, g.run, g.rev, g.model, g.prompt, g.media_type, g.orientation,
    g.duration_seconds, g.count, g.parameters, g.input_urls, g.status, g.stage, g.progress_percent,
    g.storage_type, g.size_bytes, g.error_code, g.error_message, g.notice_code, g.notice_message,
    g.credits, g.reserved_bytes, g.cached, g.created_at, g.updated_at, g.started_at, g.completed_at,
    g.expires_at, coalesce(g.expires_at <= now(), false) AS expired, g.deadline_at,
    g.deadline_at <= now() AS overdue, g.unknown_since, g.deleted_at, g.crashes
"""
_MEDIA_COLUMNS: Final = """
    m.index, m.object_id, m.account_id, m.upstream_url, m.upstream_expires_at, m.tier, m.content_type,
    m.size_bytes, m.width, m.height, m.duration_seconds
"""

# Taking the next rev locks the owner's row, so that his changes are committed in the order of their revs. Every change
# takes it first: users before generations, always.
_NEXT_REV: Final = "UPDATE users SET rev = rev + 1 WHERE id = %s AND NOT disabled RETURNING rev"

_COUNT_ACTIVE: Final = """
SELECT count(*) FROM generations
WHERE user_id = %s AND status IN ('pending', 'generating') AND deleted_at IS NULL
    AND (unknown_since IS NULL OR unknown_since > now() - interval '15 minutes')
"""
_INSERT: Final = """
INSERT INTO generations (
    id, user_id, api_key_id, rev, model, prompt, media_type, orientation, duration_seconds, count, parameters,
    input_urls, status, stage, credits, reserved_bytes, deadline_at, next_run_at
) VALUES (
    %(id)s, %(user_id)s, %(api_key_id)s, %(rev)s, %(model)s, %(prompt)s, %(media_type)s, %(orientation)s,
    %(duration_seconds)s, %(count)s, %(parameters)s, %(input_urls)s, 'pending', 'admitting', %(credits)s,
    %(reserved_bytes)s, now() + make_interval(secs => %(deadline_seconds)s), now() + make_interval(secs => %(limit)s)
)
"""
_INSERT_KEY: Final = """
INSERT INTO idempotency_keys (user_id, route, key, request_digest, generation_id)
VALUES (%(user_id)s, 'generate', %(key)s, %(digest)s, %(id)s)
ON CONFLICT (user_id, route, key) DO UPDATE
    SET request_digest = excluded.request_digest, generation_id = excluded.generation_id, created_at = now()
    WHERE idempotency_keys.created_at < now() - interval '24 hours'
RETURNING generation_id
"""
_SELECT_KEY: Final = """
SELECT k.request_digest, k.generation_id, g.stage
FROM idempotency_keys k LEFT JOIN generations g ON g.id = k.generation_id
WHERE k.user_id = %s AND k.route = 'generate' AND k.key = %s
"""
_ADMITTED: Final = f"""
WITH bumped AS (UPDATE users SET rev = rev + 1 WHERE id = %(user_id)s RETURNING rev)
UPDATE generations g SET stage = 'queued', next_run_at = now(), rev = bumped.rev, updated_at = now()
FROM bumped WHERE g.id = %(id)s AND g.stage = 'admitting' AND g.lease_token = 0
RETURNING {COLUMNS}
"""
_WITHDRAW: Final = """
WITH gone AS (
    DELETE FROM generations WHERE id = %(id)s AND stage = 'admitting' AND lease_token = 0 RETURNING id
)
DELETE FROM idempotency_keys USING gone WHERE generation_id = gone.id AND user_id = %(user_id)s
"""
_GET: Final = f"SELECT {COLUMNS} FROM generations g WHERE g.id = %s AND g.user_id = %s AND g.deleted_at IS NULL"
_MATCH: Final = """
g.deleted_at IS NULL AND g.stage <> 'admitting'
    AND (%(user_id)s::uuid IS NULL OR g.user_id = %(user_id)s)
    AND (%(statuses)s::text[] = '{}' OR g.status = ANY(%(statuses)s))
    AND (%(storage_types)s::text[] = '{}' OR g.storage_type = ANY(%(storage_types)s))
    AND (%(query)s = '' OR strpos(lower(g.prompt), lower(%(query)s)) > 0)
"""
_OF_TYPES: Final = "(%(media_types)s::text[] = '{}' OR g.media_type = ANY(%(media_types)s))"
_LIST: Final = f"""
SELECT {COLUMNS} FROM generations g
WHERE {_MATCH} AND {_OF_TYPES} AND (%(before)s::uuid IS NULL OR g.id < %(before)s)
ORDER BY g.id DESC LIMIT %(limit)s
"""
_COUNT: Final = f"""
SELECT count(*) FILTER (WHERE {_OF_TYPES}), count(*) FILTER (WHERE g.media_type = 'video'),
    count(*) FILTER (WHERE g.media_type = 'image')
FROM generations g WHERE {_MATCH}
"""
_MEDIA_OF: Final = f"""
SELECT m.generation_id, {_MEDIA_COLUMNS}
FROM media m JOIN generations g ON g.id = m.generation_id AND g.run = m.run
WHERE m.generation_id = ANY(%s) ORDER BY m.generation_id, m.index
"""
_MEDIA_BY_OBJECT: Final = f"""
SELECT {COLUMNS} FROM generations g JOIN media m ON m.generation_id = g.id AND m.run = g.run
WHERE m.object_id = %s AND g.user_id = %s AND g.deleted_at IS NULL
"""
# The owner's word takes the lease away: the worker that holds it writes nothing more, and whoever comes next cleans up.
_CANCEL: Final = f"""
WITH bumped AS (UPDATE users SET rev = rev + 1 WHERE id = %(user_id)s RETURNING rev)
UPDATE generations g SET status = 'cancelled', error_code = 'cancelled', error_message = NULL,
    completed_at = now(), lease_token = g.lease_token + 1, lease_until = NULL, next_run_at = now(),
    rev = bumped.rev, updated_at = now()
FROM bumped WHERE g.id = %(id)s AND g.user_id = %(user_id)s AND g.deleted_at IS NULL
    AND g.status IN ('pending', 'generating') AND g.stage NOT IN ('admitting', 'stored')
RETURNING {COLUMNS}
"""
_DELETE: Final = """
WITH bumped AS (UPDATE users SET rev = rev + 1 WHERE id = %(user_id)s RETURNING rev),
gone AS (
    UPDATE generations g SET deleted_at = now(), lease_token = g.lease_token + 1, lease_until = NULL,
        next_run_at = now(), rev = bumped.rev, updated_at = now(),
        status = CASE WHEN g.status IN ('pending', 'generating') THEN 'cancelled' ELSE g.status END,
        completed_at = coalesce(g.completed_at, now())
    FROM bumped WHERE g.id = %(id)s AND g.user_id = %(user_id)s AND g.deleted_at IS NULL AND g.stage <> 'admitting'
    RETURNING g.id, g.user_id, g.rev
)
INSERT INTO deleted_generations (user_id, rev, generation_id) SELECT user_id, rev, id FROM gone RETURNING rev
"""
_EXISTS: Final = "SELECT EXISTS (SELECT FROM generations WHERE id = %s)"
_WATCH_STATE: Final = "SELECT rev, watch_horizon FROM users WHERE id = %s"
_CHANGED: Final = f"""
SELECT {COLUMNS} FROM generations g
WHERE g.user_id = %s AND g.rev > %s AND g.rev <= %s AND g.deleted_at IS NULL AND g.stage <> 'admitting'
ORDER BY g.rev
"""
# What a watcher sees first: what runs, and the newest of the rest. Older ones are in the list.
_SNAPSHOT: Final = f"""
SELECT {COLUMNS} FROM generations g
WHERE g.user_id = %s AND g.rev <= %s AND g.deleted_at IS NULL AND g.stage <> 'admitting'
    AND (g.status IN ('pending', 'generating') OR g.id IN (
        SELECT id FROM generations WHERE user_id = g.user_id AND deleted_at IS NULL ORDER BY id DESC LIMIT 100
    ))
ORDER BY g.rev
"""
_DELETED: Final = """
SELECT generation_id, rev FROM deleted_generations WHERE user_id = %s AND rev > %s AND rev <= %s ORDER BY rev
"""
# A watcher who saw less than what is forgotten here has to start anew.
_FORGET_DELETED: Final = """
WITH forgotten AS (
    DELETE FROM deleted_generations WHERE deleted_at < now() - interval '7 days' RETURNING user_id, rev
)
UPDATE users SET watch_horizon = f.rev
FROM (SELECT user_id, max(rev) AS rev FROM forgotten GROUP BY user_id) f WHERE users.id = f.user_id
"""
_FORGET_KEYS: Final = "DELETE FROM idempotency_keys WHERE created_at < now() - interval '24 hours'"


@dataclass(frozen=True, slots=True)
class Filter:
    """What a list is narrowed to; empty means all. `user_id` None means everybody's."""

    user_id: UUID | None
    statuses: Sequence[str] = ()
    storage_types: Sequence[str] = ()
    media_types: Sequence[str] = ()
    query: str = ""


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """The caller's key and the SHA-256 of the body it stands for."""

    key: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed for a watcher up to `rev`; `reset` when he must forget what he knew."""

    rev: int
    reset: bool
    generations: Sequence[Generation]
    deleted: Sequence[tuple[UUID, int]]


class GenerationStore:
    """Generations, each method one transaction."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def create(self, new: NewGeneration, key: IdempotencyKey | None) -> UUID | None:
        """Records `new` as `admitting`; the id of the earlier generation when `key` was used for one before.

        Raises ResourceExhausted (CONCURRENCY_LIMIT_EXCEEDED), AlreadyExists (IDEMPOTENCY_KEY_REUSED),
        Aborted (IDEMPOTENCY_KEY_BUSY), Unauthenticated for a user who is gone or disabled.
        """
        async with self._pool.connection() as connection, connection.transaction():
            cursor = await connection.execute(_NEXT_REV, (new.user_id,))
            row = await cursor.fetchone()
            if row is None:
                raise Unauthenticated("This user does not exist any more or is disabled.")
            if key is not None and (earlier := await _earlier(connection, new, key)) is not None:
                return earlier
            cursor = await connection.execute(_COUNT_ACTIVE, (new.user_id,))
            active = await cursor.fetchone()
            if active is not None and active[0] >= MAX_ACTIVE_PER_USER:
                raise ResourceExhausted(
                    f"You have {active[0]} generations running, which is the limit. Wait for the current one.",
                    reason="CONCURRENCY_LIMIT_EXCEEDED",
                    metadata={"limit": str(MAX_ACTIVE_PER_USER), "active": str(active[0])},
                    retry_after=10,
                )
            values = asdict(new) | {
                "rev": row[0],
                "parameters": Jsonb(dict(new.parameters)),
                "input_urls": list(new.input_urls),
                "limit": ADMISSION_LIMIT_SECONDS,
            }
            await connection.execute(_INSERT, values)
        return None

    async def admitted(self, generation_id: UUID, user_id: UUID) -> Generation:
        """`admitting` → `queued`. Raises Aborted when the admission took so long that it was given up."""
        generation = await self._one(_ADMITTED, {"id": generation_id, "user_id": user_id})
        if generation is None:
            raise Aborted(
                "The request took too long and was withdrawn. Try again.",
                reason="ADMISSION_EXPIRED",
            )
        return generation

    async def withdraw(self, generation_id: UUID, user_id: UUID) -> None:
        """Removes a generation that was not admitted, and frees its idempotency key."""
        async with self._pool.connection() as connection:
            await connection.execute(_WITHDRAW, {"id": generation_id, "user_id": user_id})

    async def get(self, generation_id: UUID, user_id: UUID) -> Generation:
        """Raises NotFound, also for somebody else's."""
        return _found(await self._one(_GET, (generation_id, user_id)))

    async def page(self, match: Filter, *, before: UUID | None, limit: int) -> list[Generation]:
        """Newest first, older than `before`."""
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=class_row(Generation))
            await cursor.execute(_LIST, _values(match) | {"before": before, "limit": limit})
            return await cursor.fetchall()

    async def count(self, match: Filter) -> tuple[int, int, int]:
        """All that match; videos and pictures that match whatever the filter's media types."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(_COUNT, _values(match))
            row = await cursor.fetchone()
        return (0, 0, 0) if row is None else (row[0], row[1], row[2])

    async def media_of(self, generation_ids: Sequence[UUID]) -> dict[UUID, list[Media]]:
        """The media of the current run of each."""
        found: dict[UUID, list[Media]] = {}
        if not generation_ids:
            return found
        async with self._pool.connection() as connection:
            cursor = await connection.execute(_MEDIA_OF, (list(generation_ids),))
            async for generation_id, *columns in cursor:
                found.setdefault(generation_id, []).append(Media(*columns))
        return found

    async def by_medium(self, medium_id: UUID, user_id: UUID) -> Generation:
        """The generation a medium belongs to. Raises NotFound."""
        return _found(await self._one(_MEDIA_BY_OBJECT, (medium_id, user_id)))

    async def cancel(self, generation_id: UUID, user_id: UUID) -> Generation:
        """Ends an active one. Raises NotFound, FailedPrecondition (ALREADY_ENDED)."""
        cancelled = await self._one(_CANCEL, {"id": generation_id, "user_id": user_id})
        if cancelled is not None:
            return cancelled
        current = await self.get(generation_id, user_id)
        ended = "has already ended" if not current.is_active else "is just being finished"
        raise FailedPrecondition(
            f"This generation {ended}.", reason="ALREADY_ENDED", metadata={"status": current.status}
        )

    async def delete(self, generation_id: UUID, user_id: UUID) -> None:
        """Takes it from every list and has it erased. Raises NotFound."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(_DELETE, {"id": generation_id, "user_id": user_id})
            if await cursor.fetchone() is None:
                raise NotFound("There is no such generation.")

    async def exists(self, generation_id: UUID) -> bool:
        """The row is still there, deleted or not."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(_EXISTS, (generation_id,))
            row = await cursor.fetchone()
        return bool(row and row[0])

    async def changes(self, user_id: UUID, after_rev: int) -> Changes:
        """What a watcher who saw everything up to `after_rev` has to know, in one snapshot."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(_WATCH_STATE, (user_id,))
            row = await cursor.fetchone()
            if row is None:
                raise Unauthenticated("This user does not exist any more.")
            rev, horizon = row
            reset = 0 < after_rev < horizon or after_rev > rev
            if reset:
                after_rev = 0
            if rev == after_rev:
                return Changes(rev, reset, (), ())
            generations = connection.cursor(row_factory=class_row(Generation))
            if after_rev == 0:
                await generations.execute(_SNAPSHOT, (user_id, rev))
                return Changes(rev, reset, await generations.fetchall(), ())
            await generations.execute(_CHANGED, (user_id, after_rev, rev))
            found = await generations.fetchall()
            cursor = await connection.execute(_DELETED, (user_id, after_rev, rev))
            deleted = [(row[0], row[1]) for row in await cursor.fetchall()]
        return Changes(rev, reset, found, deleted)

    async def forget_old(self) -> None:
        """Removes deletions older than a week and idempotency keys older than a day."""
        async with self._pool.connection() as connection:
            await connection.execute(_FORGET_DELETED)
            await connection.execute(_FORGET_KEYS)

    async def _one(self, sql: str, values: Any) -> Generation | None:
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=class_row(Generation))
            await cursor.execute(sql, values)
            return await cursor.fetchone()


async def _earlier(connection: Connection, new: NewGeneration, key: IdempotencyKey) -> UUID | None:
    values = {"user_id": new.user_id, "key": key.key, "digest": key.digest, "id": new.id}
    cursor = await connection.execute(_INSERT_KEY, values)
    if await cursor.fetchone() is not None:
        return None
    cursor = await connection.execute(_SELECT_KEY, (new.user_id, key.key))
    row = await cursor.fetchone()
    if row is None:
        raise Aborted(
            "The key has just expired. Try again.", reason="IDEMPOTENCY_KEY_BUSY", retry_after=1
        )
    digest, generation_id, stage = row
    if digest != key.digest:
        raise AlreadyExists(
            "This Idempotency-Key was used with another body within the last 24 hours.",
            reason="IDEMPOTENCY_KEY_REUSED",
        )
    if stage == "admitting":
        raise Aborted(
            "The request with this Idempotency-Key is still under way.",
            reason="IDEMPOTENCY_KEY_BUSY",
            retry_after=1,
        )
    earlier: UUID = generation_id
    return earlier


def _found(generation: Generation | None) -> Generation:
    if generation is None:
        raise NotFound("There is no such generation.")
    return generation


def _values(match: Filter) -> dict[str, Any]:
    return {
        "user_id": match.user_id,
        "statuses": list(match.statuses),
        "storage_types": list(match.storage_types),
        "media_types": list(match.media_types),
        "query": match.query,
    }

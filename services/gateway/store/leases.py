"""SQL of generations as the worker leases and moves them. Every write carries the lease's token."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from psycopg.rows import class_row

from services.gateway.generations import (
    FAILURES,
    NOTICES,
    Attempt,
    Generation,
    Lease,
    LeaseLost,
    Media,
    StorageType,
    object_id,
)
from services.gateway.store.generations import COLUMNS
from services.kernel.postgres import Pool

_CLAIM: Final = f"""
UPDATE generations g
SET lease_token = g.lease_token + 1, lease_until = now() + make_interval(secs => %(seconds)s)
WHERE g.id IN (
    SELECT id FROM generations
    WHERE next_run_at <= now() AND (lease_until IS NULL OR lease_until <= now())
    ORDER BY next_run_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
RETURNING g.lease_token, {COLUMNS}
"""
_RENEW: Final = """
UPDATE generations g SET lease_until = now() + make_interval(secs => %s)
FROM unnest(%s::uuid[], %s::bigint[]) AS held (id, token)
WHERE g.id = held.id AND g.lease_token = held.token AND g.lease_until > now()
RETURNING g.id
"""
# Gives the lease back: look again after so many seconds, or never when nothing is owed.
_YIELD: Final = """
UPDATE generations SET lease_until = NULL, next_run_at = now() + make_interval(secs => %(delay)s),
    crashes = crashes + %(crashed)s
WHERE id = %(id)s AND lease_token = %(token)s
"""
_NOTHING_OWED: Final = """
UPDATE generations SET lease_until = NULL, next_run_at = NULL WHERE id = %(id)s AND lease_token = %(token)s
"""
_REMOVE: Final = """
WITH bumped AS (UPDATE users SET rev = rev + 1 WHERE id = %(user_id)s RETURNING rev),
gone AS (DELETE FROM generations g WHERE g.id = %(id)s AND g.lease_token = %(token)s RETURNING g.id)
DELETE FROM idempotency_keys k USING gone WHERE k.user_id = %(user_id)s AND k.generation_id = gone.id
    AND %(forget_key)s
"""

# Every move of an active generation: refused when the lease was lost or the owner ended it.
_MOVE: Final = f"""
WITH bumped AS (UPDATE users SET rev = rev + 1 WHERE id = %(user_id)s RETURNING rev)
UPDATE generations g SET {{changes}}, rev = bumped.rev, updated_at = now()
FROM bumped
WHERE g.id = %(id)s AND g.run = %(run)s AND g.lease_token = %(token)s AND g.lease_until > now()
    AND g.deleted_at IS NULL AND g.stage IN ({{stages}}) AND g.status IN ('pending', 'generating')
RETURNING {COLUMNS}
"""
_SUBMITTING: Final = _MOVE.format(
    changes="status = 'generating', stage = 'submitting'", stages="'queued', 'unknown'"
)
_REQUEUE: Final = _MOVE.format(
    changes="status = 'pending', stage = 'queued'", stages="'submitting'"
)
_ACCEPTED: Final = _MOVE.format(
    changes="stage = 'generating', started_at = coalesce(g.started_at, now()), unknown_since = NULL",
    stages="'submitting', 'unknown'",
)
_UNKNOWN: Final = _MOVE.format(
    changes="stage = 'unknown', unknown_since = coalesce(g.unknown_since, now())",
    stages="'submitting'",
)
_PROGRESS: Final = _MOVE.format(
    changes="progress_percent = %(percent)s", stages="'generating', 'storing'"
)
_STORING: Final = _MOVE.format(changes="stage = 'storing'", stages="'generating'")
# From here on the result is kept: it can be deleted, but no more cancelled.
_STORED: Final = _MOVE.format(
    changes=(
        "stage = 'stored', progress_percent = 100, size_bytes = %(size_bytes)s, storage_type = %(storage_type)s,"
        " notice_code = %(notice_code)s, notice_message = %(notice_message)s"
    ),
    stages="'storing', 'stored'",
)
_COMPLETE: Final = _MOVE.format(
    changes=(
        "status = 'completed', completed_at = now(), expires_at = %(expires_at)s,"
        " next_run_at = NULL, lease_until = NULL"
    ),
    stages="'stored'",
)
# What it held is still owed to quota and storage: next_run_at stays.
_FAIL: Final = _MOVE.format(
    changes=(
        "status = 'failed', completed_at = now(), error_code = %(code)s, error_message = %(message)s,"
        " storage_type = 'none', size_bytes = 0"
    ),
    stages="'queued', 'submitting', 'unknown', 'generating', 'storing', 'stored'",
)

_CHOOSE_ACCOUNT: Final = """
SELECT a.id FROM accounts a JOIN users u ON u.id = %(user_id)s
WHERE a.status = 'active' AND a.dialect = ANY(%(dialects)s)
    AND (a.models = '{}' OR %(model)s = ANY(a.models))
    AND (a.group_ids = '{}' OR u.group_id = ANY(a.group_ids))
    AND (a.concurrency_limit = 0 OR a.concurrency_limit > (
        SELECT count(*) FROM attempts t WHERE t.account_id = a.id AND t.state = 'open'
    ))
ORDER BY a.id = ANY(%(tried)s), coalesce(a.cooldown_until > now(), false), a.priority DESC, a.last_used_at NULLS FIRST
LIMIT 1
FOR NO KEY UPDATE OF a
"""
_USE_ACCOUNT: Final = "UPDATE accounts SET last_used_at = clock_timestamp() WHERE id = %s"
_INTEND: Final = """
INSERT INTO attempts (generation_id, run, number, account_id)
SELECT %(id)s, %(run)s, coalesce(max(number), 0) + 1, %(account_id)s
FROM attempts WHERE generation_id = %(id)s AND run = %(run)s
RETURNING number, account_id, upstream_task_id
"""
_ATTEMPTS: Final = """
SELECT number, account_id, upstream_task_id, state FROM attempts
WHERE generation_id = %s AND run = %s ORDER BY number
"""
# The one write without a lease: a late answer is not lost, and never overwritten.
_TASK_ID: Final = """
UPDATE attempts SET upstream_task_id = %(task_id)s
WHERE generation_id = %(id)s AND run = %(run)s AND number = %(number)s AND upstream_task_id IS NULL
"""
_END_ATTEMPT: Final = """
UPDATE attempts SET state = %(state)s, detail = %(detail)s
WHERE generation_id = %(id)s AND run = %(run)s AND number = %(number)s AND state = 'open'
"""
_END_ATTEMPTS: Final = """
UPDATE attempts SET state = 'ended' WHERE generation_id = %s AND run = %s AND state = 'open'
"""
_ADD_MEDIUM: Final = """
INSERT INTO media (generation_id, run, index, object_id, account_id, upstream_url, upstream_expires_at)
VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (generation_id, run, index) DO NOTHING
"""
_MEDIA: Final = """
SELECT index, object_id, account_id, upstream_url, upstream_expires_at, tier, content_type, size_bytes, width, height,
    duration_seconds
FROM media WHERE generation_id = %s AND run = %s ORDER BY index
"""
_KEPT: Final = """
UPDATE media m SET object_id = %(object_id)s, tier = %(tier)s, content_type = %(content_type)s,
    size_bytes = %(size_bytes)s, width = %(width)s, height = %(height)s, duration_seconds = %(duration_seconds)s
FROM generations g
WHERE m.generation_id = %(id)s AND m.run = %(run)s AND m.index = %(index)s
    AND g.id = m.generation_id AND g.lease_token = %(token)s
"""
_UNKEEP: Final = "UPDATE media SET tier = NULL WHERE generation_id = %s AND run = %s"


class NoAccountFree(Exception):
    """No account serves the model now."""


class LeaseStore:
    """What the worker reads and writes. Moves raise LeaseLost when somebody else acts for the generation."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def claim(self, limit: int, seconds: float) -> list[Lease]:
        """Leases up to `limit` generations that are due, the longest waiting first."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(_CLAIM, {"limit": limit, "seconds": seconds})
            return [
                Lease(Generation(*columns), token) for token, *columns in await cursor.fetchall()
            ]

    async def renew(self, leases: Mapping[UUID, int], seconds: float) -> set[UUID]:
        """Prolongs leases in one statement; returns those that are still held."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                _RENEW, (seconds, list(leases), list(leases.values()))
            )
            return {row[0] for row in await cursor.fetchall()}

    async def look_again(self, lease: Lease, delay: float, *, crashed: bool = False) -> None:
        """Gives the lease back and asks for the next look in `delay` seconds."""
        values = _of(lease) | {"delay": delay, "crashed": int(crashed)}
        await self._execute(_YIELD, values)

    async def nothing_owed(self, lease: Lease) -> None:
        """Gives the lease back for good."""
        await self._execute(_NOTHING_OWED, _of(lease))

    async def remove(self, lease: Lease, *, forget_key: bool = False) -> None:
        """Removes the row; with `forget_key` also the idempotency key that made it."""
        await self._execute(_REMOVE, _of(lease) | {"forget_key": forget_key})

    async def begin_attempt(
        self, lease: Lease, dialects: Sequence[str], tried: Sequence[UUID]
    ) -> tuple[Lease, Attempt]:
        """Chooses an account and writes down the intent to submit there. Raises NoAccountFree, and nothing moved."""
        async with self._pool.connection() as connection, connection.transaction():
            values = _of(lease) | {
                "model": lease.generation.model,
                "dialects": list(dialects),
                "tried": list(tried),
            }
            # The owner's row is locked before the account's, as everywhere.
            generations = connection.cursor(row_factory=class_row(Generation))
            await generations.execute(_SUBMITTING, values)
            moved = await generations.fetchone()
            if moved is None:
                raise LeaseLost
            cursor = await connection.execute(_CHOOSE_ACCOUNT, values)
            chosen = await cursor.fetchone()
            if chosen is None:
                raise NoAccountFree
            await connection.execute(_USE_ACCOUNT, chosen)
            attempts = connection.cursor(row_factory=class_row(Attempt))
            await attempts.execute(_INTEND, values | {"account_id": chosen[0]})
            attempt = await attempts.fetchone()
            assert attempt is not None  # noqa: S101 - an INSERT … SELECT of an aggregate returns one row
        return Lease(moved, lease.token), attempt

    async def attempts(self, generation: Generation) -> list[tuple[Attempt, str]]:
        """The attempts of the current run with their states, in order."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(_ATTEMPTS, (generation.id, generation.run))
            return [(Attempt(row[0], row[1], row[2]), row[3]) for row in await cursor.fetchall()]

    async def record_task(self, generation: Generation, attempt: Attempt, task_id: str) -> None:
        """Writes the upstream's id down, once, with or without a lease."""
        values = {
            "id": generation.id,
            "run": generation.run,
            "number": attempt.number,
            "task_id": task_id,
        }
        await self._execute(_TASK_ID, values)

    async def end_attempt(
        self, generation: Generation, attempt: Attempt, state: str, detail: str = ""
    ) -> None:
        """`open` → `refused` or `ended`."""
        values = {
            "id": generation.id, "run": generation.run, "number": attempt.number, "state": state, "detail": detail[:500]
        }  # fmt: skip
        await self._execute(_END_ATTEMPT, values)

    async def end_attempts(self, generation: Generation) -> None:
        """Nothing more is to be done at any upstream."""
        await self._execute(_END_ATTEMPTS, (generation.id, generation.run))

    async def submit_again(self, lease: Lease) -> Lease:
        """`unknown` → `submitting`, for an upstream that knows a reference it has seen."""
        return await self._move(lease, _SUBMITTING)

    async def requeue(self, lease: Lease) -> Lease:
        """`submitting` → `queued`: no upstream has it."""
        return await self._move(lease, _REQUEUE)

    async def accepted(self, lease: Lease) -> Lease:
        """An upstream has it."""
        return await self._move(lease, _ACCEPTED)

    async def unknown(self, lease: Lease) -> Lease:
        """The answer to the submit was lost."""
        return await self._move(lease, _UNKNOWN)

    async def progress(self, lease: Lease, percent: int) -> Lease:
        """Says how far it is."""
        return await self._move(lease, _PROGRESS, {"percent": percent})

    async def storing(
        self, lease: Lease, account_id: UUID, results: Sequence[tuple[str, Any]]
    ) -> Lease:
        """Writes down where the results are: (URL, time of expiry or None) each."""
        generation = lease.generation
        async with self._pool.connection() as connection, connection.transaction():
            cursor = connection.cursor(row_factory=class_row(Generation))
            await cursor.execute(_STORING, _of(lease))
            moved = await cursor.fetchone()
            if moved is None:
                raise LeaseLost
            for index, (url, expires_at) in enumerate(results):
                medium = object_id(generation.id, generation.run, index)
                row = (generation.id, generation.run, index, medium, account_id, url, expires_at)
                await connection.execute(_ADD_MEDIUM, row)
        return Lease(moved, lease.token)

    async def media(self, generation: Generation) -> list[Media]:
        """What the current run brought."""
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=class_row(Media))
            await cursor.execute(_MEDIA, (generation.id, generation.run))
            return await cursor.fetchall()

    async def kept(self, lease: Lease, index: int, facts: Mapping[str, Any]) -> None:
        """Writes down what storage says of one medium, by the names of the columns."""
        values = _of(lease) | {"index": index, **facts}
        await self._execute(_KEPT, values)

    async def unkeep(self, lease: Lease) -> None:
        """The objects of the run are gone: its media lie at the upstream again."""
        await self._execute(_UNKEEP, (lease.generation.id, lease.generation.run))

    async def stored(
        self, lease: Lease, storage_type: StorageType, size_bytes: int, notice: str | None
    ) -> Lease:
        """The result is where it will be; from here on it can not be cancelled."""
        values = {
            "storage_type": storage_type,
            "size_bytes": size_bytes,
            "notice_code": notice,
            "notice_message": None if notice is None else NOTICES[notice],
        }
        return await self._move(lease, _STORED, values)

    async def complete(self, lease: Lease, *, expires_at: datetime | None) -> None:
        """Ends with a result, and gives the lease back. `expires_at` for one that lies at its upstream."""
        await self._move(lease, _COMPLETE, {"expires_at": expires_at})

    async def fail(self, lease: Lease, code: str, message: str = "") -> Lease:
        """Ends without a result; what the run holds is still to be given back."""
        return await self._move(lease, _FAIL, {"code": code, "message": message or FAILURES[code]})

    async def _move(self, lease: Lease, sql: str, values: Mapping[str, Any] | None = None) -> Lease:
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=class_row(Generation))
            await cursor.execute(sql, _of(lease) | dict(values or {}))
            moved = await cursor.fetchone()
        if moved is None:
            raise LeaseLost
        return Lease(moved, lease.token)

    async def _execute(self, sql: str, values: Any) -> None:
        async with self._pool.connection() as connection:
            await connection.execute(sql, values)


def _of(lease: Lease) -> dict[str, Any]:
    generation = lease.generation
    return {
        "id": generation.id,
        "user_id": generation.user_id,
        "run": generation.run,
        "token": lease.token,
    }

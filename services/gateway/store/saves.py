"""SQL of saving a result that lies at its upstream: begun by its owner, done by the worker under its lease."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from services.gateway.generations import Generation, Lease, LeaseLost, Save, SaveFailure, Tier
from services.gateway.store.generations import COLUMNS
from services.kernel.errors import NotFound
from services.kernel.postgres import Connection, Pool

# The owner's lock, as for every change; without it the row that is judged could change before it is marked.
_NEXT_REV: Final = "UPDATE users SET rev = rev + 1 WHERE id = %s RETURNING rev"
_GET: Final = f"SELECT {COLUMNS} FROM generations g WHERE g.id = %s AND g.user_id = %s AND g.deleted_at IS NULL"
# Whoever held a lease on it holds none now, and the next token is one that quota has never seen.
_BEGIN: Final = f"""
UPDATE generations g SET stage = 'storing', progress_percent = 0, crashes = 0, lease_token = g.lease_token + 1,
    lease_until = NULL, next_run_at = now(), rev = %s, updated_at = now()
WHERE g.id = %s RETURNING {COLUMNS}
"""
_RECORD: Final = """
INSERT INTO saves (generation_id) VALUES (%s)
ON CONFLICT (generation_id) DO UPDATE SET objects = '{}', failure = NULL
"""
_SAVE: Final = "SELECT objects, failure FROM saves WHERE generation_id = %s"
_KEPT: Final = """
UPDATE saves s SET objects = array_append(s.objects, %(object_id)s)
FROM generations g
WHERE s.generation_id = %(id)s AND g.id = s.generation_id AND g.lease_token = %(token)s
    AND %(object_id)s <> ALL(s.objects)
"""
# As the moves of an active one: refused when the lease was lost or the owner deleted it.
_MOVE: Final = f"""
WITH bumped AS (UPDATE users SET rev = rev + 1 WHERE id = %(user_id)s RETURNING rev)
UPDATE generations g SET {{changes}}, rev = bumped.rev, updated_at = now()
FROM bumped
WHERE g.id = %(id)s AND g.run = %(run)s AND g.lease_token = %(token)s AND g.lease_until > now()
    AND g.deleted_at IS NULL AND g.status = 'completed' AND g.stage = 'storing'
RETURNING {COLUMNS}
"""
_PROGRESS: Final = _MOVE.format(changes="progress_percent = %(percent)s")
_GIVE_UP: Final = _MOVE.format(changes="progress_percent = 0")
_FAILURE: Final = "UPDATE saves SET failure = %(failure)s WHERE generation_id = %(id)s"
_OVER: Final = "stage = 'stored', progress_percent = 100, next_run_at = NULL, lease_until = NULL"
_GIVEN_UP: Final = _MOVE.format(changes=_OVER)
_SAVED: Final = _MOVE.format(
    changes=(
        f"{_OVER}, storage_type = %(storage_type)s, size_bytes = %(size_bytes)s, expires_at = NULL,"
        " notice_code = %(notice_code)s, notice_message = %(notice_message)s"
    )
)
_MEDIUM: Final = """
UPDATE media SET object_id = %(object_id)s, tier = %(tier)s, content_type = %(content_type)s,
    size_bytes = %(size_bytes)s, width = %(width)s, height = %(height)s, duration_seconds = %(duration_seconds)s
WHERE generation_id = %(id)s AND run = %(run)s AND index = %(index)s
"""
_FORGET: Final = "DELETE FROM saves WHERE generation_id = %(id)s"


class SaveStore:
    """Saves, each method one transaction. What the worker writes raises LeaseLost when it may not act any more."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def begin(self, generation_id: UUID, user_id: UUID) -> Generation:
        """Marks it as being saved and has a worker do it; one that is being saved already is left to go on.

        Raises NotFound, also for somebody else's, and FailedPrecondition (NOT_UPSTREAM, LINK_EXPIRED).
        """
        async with self._pool.connection() as connection, connection.transaction():
            cursor = await connection.execute(_NEXT_REV, (user_id,))
            rev = await cursor.fetchone()
            found = await _one(connection, _GET, (generation_id, user_id))
            if rev is None or found is None:
                raise NotFound("There is no such generation.")
            if found.is_being_saved:
                return found
            found.require_savable()
            await connection.execute(_RECORD, (generation_id,))
            begun = await _one(connection, _BEGIN, (rev[0], generation_id))
        assert begun is not None  # noqa: S101 - found above, and nobody changes it against the owner's lock
        return begun

    async def get(self, generation_id: UUID) -> Save:
        """How far its saving is, or how the last one failed; empty when there is none."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(_SAVE, (generation_id,))
            row = await cursor.fetchone()
        if row is None:
            return Save((), None)
        return Save(row[0], None if row[1] is None else SaveFailure(**row[1]))

    async def progress(self, lease: Lease, percent: int) -> Lease:
        """Says how far it is."""
        async with self._pool.connection() as connection:
            return await _move(connection, lease, _PROGRESS, {"percent": percent})

    async def kept(self, lease: Lease, object_id: UUID) -> None:
        """Notes an object that is to be deleted again, should saving fail."""
        async with self._pool.connection() as connection:
            await connection.execute(_KEPT, _of(lease) | {"object_id": object_id})

    async def saved(
        self,
        lease: Lease,
        tier: Tier,
        notice: tuple[str, str] | None,
        media: Sequence[Mapping[str, Any]],
    ) -> None:
        """Ends it with the result in storage, and gives the lease back.

        `media` are storage's facts by the names of the columns, in the order of the media.
        """
        code, message = notice or (None, None)
        size = sum(facts["size_bytes"] for facts in media)
        values = {
            "storage_type": tier, "size_bytes": size, "notice_code": code, "notice_message": message
        }  # fmt: skip
        async with self._pool.connection() as connection, connection.transaction():
            await _move(connection, lease, _SAVED, values)
            for index, facts in enumerate(media):
                await connection.execute(_MEDIUM, _of(lease) | {"index": index, **facts})
            await connection.execute(_FORGET, _of(lease))

    async def give_up(self, lease: Lease, failure: SaveFailure) -> Lease:
        """Writes down that it failed and why; what was kept and reserved is still to be given back."""
        values = {
            "reason": failure.reason, "message": failure.message, "metadata": dict(failure.metadata)
        }  # fmt: skip
        async with self._pool.connection() as connection, connection.transaction():
            moved = await _move(connection, lease, _GIVE_UP)
            await connection.execute(_FAILURE, _of(lease) | {"failure": Jsonb(values)})
        return moved

    async def given_up(self, lease: Lease) -> None:
        """Ends it as it was before, and gives the lease back."""
        async with self._pool.connection() as connection:
            await _move(connection, lease, _GIVEN_UP)


async def _move(
    connection: Connection, lease: Lease, sql: str, values: Mapping[str, Any] | None = None
) -> Lease:
    moved = await _one(connection, sql, _of(lease) | dict(values or {}))
    if moved is None:
        raise LeaseLost
    return Lease(moved, lease.token)


async def _one(connection: Connection, sql: str, values: Any) -> Generation | None:
    cursor = connection.cursor(row_factory=class_row(Generation))
    await cursor.execute(sql, values)
    return await cursor.fetchone()


def _of(lease: Lease) -> dict[str, Any]:
    generation = lease.generation
    return {
        "id": generation.id,
        "user_id": generation.user_id,
        "run": generation.run,
        "token": lease.token,
    }

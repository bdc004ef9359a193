"""All SQL about uploads that browsers make by themselves."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from psycopg.rows import class_row

from services.kernel.postgres import Pool

_COLUMNS: Final = "object_id, owner_id, key, size_bytes, content_type, created_at, expires_at"
_OFFER: Final = """
INSERT INTO presigned_uploads (object_id, owner_id, key, size_bytes, content_type, expires_at)
VALUES (%(object_id)s, %(owner_id)s, %(key)s, %(size_bytes)s, %(content_type)s, %(expires_at)s)
"""
_GET: Final = f"SELECT {_COLUMNS} FROM presigned_uploads WHERE object_id = %(object_id)s"
_CLAIM: Final = """
UPDATE presigned_uploads SET committing_until = now() + make_interval(secs => %(seconds)s)
WHERE object_id = %(object_id)s AND (committing_until IS NULL OR committing_until < now())
RETURNING 1
"""
_RELEASE: Final = (
    "UPDATE presigned_uploads SET committing_until = NULL WHERE object_id = %(object_id)s"
)
_EXPIRE: Final = """
WITH expired AS (
  DELETE FROM presigned_uploads
  WHERE expires_at < now() - make_interval(secs => %(grace)s) AND (committing_until IS NULL OR committing_until < now())
  RETURNING object_id, key
)
INSERT INTO removals (tier, key, object_id, generation_id, run, unfinished)
SELECT 's3', key, object_id, NULL, 0, false FROM expired
ON CONFLICT (tier, key) DO UPDATE SET seen_gone_at = NULL, gone_at = NULL, next_try_at = now()
"""


@dataclass(frozen=True, slots=True)
class Offer:
    """A link that was given: what may be sent with it, where it goes in S3, and until when it works."""

    object_id: UUID
    owner_id: UUID
    key: str
    size_bytes: int
    content_type: str
    created_at: datetime
    expires_at: datetime


class PresignedStore:
    """The rows of links that were given. Every method is one statement."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def offer(
        self,
        object_id: UUID,
        owner_id: UUID,
        key: str,
        size_bytes: int,
        content_type: str,
        expires_at: datetime,
    ) -> None:
        """Notes a link before anybody has it."""
        await self._execute(
            _OFFER,
            object_id=object_id,
            owner_id=owner_id,
            key=key,
            size_bytes=size_bytes,
            content_type=content_type,
            expires_at=expires_at,
        )

    async def get(self, object_id: UUID) -> Offer | None:
        """The link that was given for an object; None when there is none, or none any more."""
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=class_row(Offer))
            await cursor.execute(_GET, {"object_id": object_id})
            return await cursor.fetchone()

    async def claim(self, object_id: UUID, seconds: float) -> bool:
        """Whether the caller is the one who commits it, for so long."""
        return await self._execute(_CLAIM, object_id=object_id, seconds=seconds) == 1

    async def release(self, object_id: UUID) -> None:
        """Lets others commit it."""
        await self._execute(_RELEASE, object_id=object_id)

    async def expire(self, grace_seconds: float) -> int:
        """Turns links that ended longer ago into removals of what was sent with them; gives their number."""
        return await self._execute(_EXPIRE, grace=grace_seconds)

    async def _execute(self, statement: str, **parameters: Any) -> int:
        async with self._pool.connection() as connection:
            return (await connection.execute(statement, parameters)).rowcount

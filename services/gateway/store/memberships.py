"""SQL of what quota has to be told about users and their groups."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from psycopg.rows import class_row

from services.kernel.postgres import Pool

_UNTOLD: Final = """
SELECT id AS user_id, group_id, group_version AS version FROM users
WHERE group_told_version < group_version ORDER BY id LIMIT %s
"""
_TOLD: Final = "UPDATE users SET group_told_version = %s WHERE id = %s AND group_told_version < %s"


@dataclass(frozen=True, slots=True)
class Membership:
    """The group of a user (None: none), as of the `version`-th change of it."""

    user_id: UUID
    group_id: UUID | None
    version: int


class MembershipStore:
    """The outbox of memberships. Each method is one statement."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def untold(self, limit: int) -> Sequence[Membership]:
        """Memberships that quota has not confirmed, at most `limit`."""
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=class_row(Membership))
            await cursor.execute(_UNTOLD, (limit,))
            return await cursor.fetchall()

    async def told(self, membership: Membership) -> None:
        """Quota knows it; a change since then is still to be told."""
        version = membership.version
        async with self._pool.connection() as connection:
            await connection.execute(_TOLD, (version, membership.user_id, version))

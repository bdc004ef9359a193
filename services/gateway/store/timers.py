"""SQL of what is done now and then, by one replica at a time."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from services.kernel.postgres import Pool

_CLAIM: Final = """
UPDATE timers SET due_at = now() + make_interval(secs => %(seconds)s)
WHERE name = %(name)s AND due_at <= now() RETURNING position
"""
_ADVANCE: Final = """
UPDATE timers SET position = %(position)s, due_at = now() + make_interval(secs => %(seconds)s) WHERE name = %(name)s
"""


@dataclass(frozen=True, slots=True)
class Turn:
    """The right to do the next piece; `position` is how far the round has come, None at its beginning."""

    position: UUID | None


class TimerStore:
    """Timers by their names. Each method is one statement."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def claim(self, name: str, seconds: float) -> Turn | None:
        """The next piece, which nobody else gets for so many seconds; None when it is not due."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(_CLAIM, {"name": name, "seconds": seconds})
            row = await cursor.fetchone()
        return None if row is None else Turn(row[0])

    async def advance(self, name: str, position: UUID | None, seconds: float) -> None:
        """The piece is done: the round has come to `position`, and goes on in so many seconds."""
        values = {"name": name, "position": position, "seconds": seconds}
        async with self._pool.connection() as connection:
            await connection.execute(_ADVANCE, values)

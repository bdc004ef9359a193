"""SQL of counting a user anew."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from psycopg.rows import args_row

from services.kernel.postgres import Pool
from services.quota.model import Recount, RunBytes, RunDrift
from services.quota.store.rows import only

_RECOUNT: Final = """
SELECT user_id, generation_ids, runs, recorded_bytes, found_bytes,
       recorded_used, counted_used, unaccounted, recorded_reserved, counted_reserved,
       recorded_balance, counted_balance, recorded_held, counted_held, open_holds, recorded_spent, counted_spent
FROM recount(%s, %s, %s, %s, %s, %s)
"""
# Without the user's lock, which only a repair takes, all that is counted has to be of one moment.
_ONE_MOMENT: Final = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"


class RecountStore:
    """The books, to be compared with what is really there."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def recount(
        self, user_id: UUID, found: Sequence[RunBytes], listed: datetime, repair: bool
    ) -> Recount:
        """Counts a user by what storage holds of him; runs settled after `listed` are taken as recorded."""
        values = (
            user_id,
            [run.generation_id for run in found],
            [run.number for run in found],
            [run.size_bytes for run in found],
            listed,
            repair,
        )
        async with self._pool.connection() as connection, connection.transaction():
            if not repair:
                await connection.execute(_ONE_MOMENT)
            cursor = connection.cursor(row_factory=args_row(_recount))
            await cursor.execute(_RECOUNT, values)
            return await only(cursor)


def _recount(
    user_id: UUID,
    generation_ids: Sequence[UUID] | None,
    runs: Sequence[int] | None,
    recorded: Sequence[int] | None,
    found: Sequence[int] | None,
    *figures: int,
) -> Recount:
    drifts = zip(generation_ids or (), runs or (), recorded or (), found or (), strict=True)
    return Recount(user_id, tuple(RunDrift(*drift) for drift in drifts), *figures)

"""What all SQL about runs shares: the row that orders everything that happens to one, and its refusals."""

from typing import Any, Final
from uuid import UUID

from psycopg.rows import dict_row

from services.kernel.errors import FailedPrecondition, NotFound, ReelgateError
from services.kernel.postgres import Connection
from services.storage.objects import Run

# Also the lock that orders everything that happens to one run.
_SEE_RUN: Final = """
INSERT INTO runs AS known (generation_id, run, owner_id, lease_token)
VALUES (%(generation_id)s, %(run)s, %(owner_id)s, %(lease_token)s)
ON CONFLICT (generation_id, run) DO UPDATE SET lease_token = greatest(known.lease_token, excluded.lease_token)
RETURNING owner_id, lease_token, tombstoned_at IS NOT NULL AS tombstoned
"""


async def see_run(
    connection: Connection, run: Run, owner_id: UUID, *, tombstoned_is_fine: bool = False
) -> None:
    """Locks the row of a run and raises its token.

    Raises FailedPrecondition (STALE_LEASE, TOMBSTONED) and NotFound for a run of somebody else.
    """
    cursor = connection.cursor(row_factory=dict_row)
    await cursor.execute(_SEE_RUN, {**run_parameters(run), "owner_id": owner_id})
    row = await cursor.fetchone()
    if row is None or row["owner_id"] != owner_id:
        raise NotFound("There is no such generation.")
    if row["lease_token"] > run.lease_token:
        raise stale_lease()
    if row["tombstoned"] and not tombstoned_is_fine:
        raise tombstoned()


def stale_lease() -> ReelgateError:
    """Somebody with a newer right acts for this run."""
    return FailedPrecondition("A later call acts for this generation.", reason="STALE_LEASE")


def tombstoned() -> ReelgateError:
    """Nothing of this run is kept any more."""
    return FailedPrecondition(
        "The generation was cancelled or deleted; nothing of it is kept.", reason="TOMBSTONED"
    )


def run_parameters(run: Run) -> dict[str, Any]:
    """The run as the statements name it."""
    return {
        "generation_id": run.generation_id,
        "run": run.number,
        "lease_token": run.lease_token,
    }

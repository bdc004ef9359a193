"""The rules of counting a user anew: the books against what is really there."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from prometheus_client import Counter

from services.kernel.errors import InvalidArgument, ResourceExhausted
from services.quota.asking import check_amount, require_admin_or_service_for
from services.quota.model import Recount, RunBytes
from services.quota.store.recounts import RecountStore

RECOUNTED_TOTAL: Final = Counter(
    "reelgate_quota_recounted_total",
    "Users counted anew, by result (same, drifted, repaired)",
    ("result",),
)

# Clocks of two machines differ, and a file is there a little before it is settled.
_CLOCKS_DIFFER_BY: Final = timedelta(minutes=1)
_MOST_RUNS: Final = 1_000_000


class Recounting:
    """Comparing the books with what storage holds. Quota itself asks nobody: it is told."""

    def __init__(self, store: RecountStore) -> None:
        self._store = store

    async def recount(
        self,
        user_id: UUID,
        parts: AsyncIterator[Sequence[RunBytes]],
        listed: datetime,
        *,
        repair: bool,
    ) -> tuple[Recount, bool]:
        """What is recorded and what was counted, and whether the books were put right.

        Bytes are counted by `parts`, listed from `listed` on; runs that settled about then or later are
        taken as recorded. Credits are counted by the ledger. Raises PermissionDenied, InvalidArgument,
        ResourceExhausted for more than a million runs.
        """
        require_admin_or_service_for(user_id)
        found: list[RunBytes] = []
        async for part in parts:
            for run in part:
                if run.number < 0:
                    raise InvalidArgument("A run is counted from 0.", field="runs.run")
                check_amount(run.size_bytes, "runs.bytes")
            found += part
            if len(found) > _MOST_RUNS:
                raise ResourceExhausted(f"One user has at most {_MOST_RUNS} runs.")
        check_amount(sum(run.size_bytes for run in found), "runs.bytes")
        counted = await self._store.recount(user_id, found, listed - _CLOCKS_DIFFER_BY, repair)
        repaired = repair and counted.has_drifted and counted.is_repairable
        result = "repaired" if repaired else "drifted" if counted.has_drifted else "same"
        RECOUNTED_TOTAL.labels(result).inc()
        return counted, repaired

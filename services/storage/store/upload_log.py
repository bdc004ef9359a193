"""All SQL of the upload log, but for the statements that end a transfer and log it on the way."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from psycopg.rows import class_row

from services.kernel.postgres import Pool
from services.storage.objects import LogEntry, Tier

_COLUMNS: Final = (
    "id, object_id, kind, source, tier, size_bytes, duration_ms, failure_reason, created_at"
)
_VALUES: Final = """
%(log_id)s, %(object_id)s, %(kind)s, %(source)s, {tier}, %(received_bytes)s, %(duration_ms)s, %(failure_reason)s,
now() - make_interval(secs => %(duration_ms)s / 1000.0)
"""
# Part of a statement that ends a transfer: {rows} are those that say that it did.
LOG_WITH: Final = f"""
logged AS (
  INSERT INTO upload_log ({_COLUMNS})
  SELECT {_VALUES.format(tier="{tier}")} FROM {{rows}} WHERE %(log_id)s::uuid IS NOT NULL
  ON CONFLICT DO NOTHING
)
"""
_LOG: Final = f"INSERT INTO upload_log ({_COLUMNS}) VALUES ({_VALUES.format(tier='%(tier)s')}) ON CONFLICT DO NOTHING"
_PAGE: Final = f"""
SELECT {_COLUMNS} FROM upload_log WHERE %(before)s::uuid IS NULL OR id < %(before)s ORDER BY id DESC LIMIT %(count)s
"""


@dataclass(frozen=True, slots=True)
class UploadRecord:
    """How one transfer ended: sizes in bytes, `failure_reason` "" when it was kept."""

    id: UUID
    object_id: UUID
    kind: str
    source: str
    tier: Tier | None
    size_bytes: int
    duration_ms: int
    failure_reason: str
    created_at: datetime

    def __post_init__(self) -> None:
        """The database gives the tier as text."""
        object.__setattr__(self, "tier", self.tier and Tier(self.tier))


def log_parameters(entry: LogEntry | None, failure_reason: str = "") -> dict[str, Any]:
    """For LOG_WITH; None logs nothing."""
    return {
        "log_id": entry and entry.id,
        "kind": entry and entry.kind,
        "source": entry and entry.source,
        "received_bytes": entry.progress.received if entry else 0,
        "duration_ms": entry.duration_ms if entry else 0,
        "failure_reason": failure_reason,
    }


class UploadLog:
    """The lines of the log. Every method is one statement."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def failed(self, entry: LogEntry, object_id: UUID, failure_reason: str) -> None:
        """Logs a transfer that failed before it had anything to leave."""
        parameters = {**log_parameters(entry, failure_reason), "object_id": object_id, "tier": None}
        async with self._pool.connection() as connection:
            await connection.execute(_LOG, parameters)

    async def page(self, before: UUID | None, count: int) -> list[UploadRecord]:
        """Up to `count` lines that began before the one named, the newest first."""
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=class_row(UploadRecord))
            await cursor.execute(_PAGE, {"before": before, "count": count})
            return await cursor.fetchall()

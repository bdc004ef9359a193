"""Migrations: numbered SQL files, forward only, each in its own transaction, one runner at a time."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
import structlog

from services.kernel.errors import FailedPrecondition
from services.kernel.postgres import Connection, connect

log = structlog.get_logger()

_LOCK: Final = "SELECT pg_advisory_lock(hashtext(current_schema() || '.migrations'))"
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version integer PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


class MigrationError(FailedPrecondition):
    """The files and the database do not fit together; the message says which and what to do."""

    default_reason = "MIGRATION_FAILED"


@dataclass(frozen=True)
class Migration:
    """One file `NNNN_name.sql`; the checksum is SHA-256 of its text."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, hex."""
        return hashlib.sha256(self.sql.encode()).hexdigest()

    def __str__(self) -> str:
        return f"{self.version:04} ({self.name})"


def read(folder: Path) -> list[Migration]:
    """All migrations of a folder in order. Raises MigrationError for a bad name or a gap."""
    found: list[Migration] = []
    for path in sorted(folder.glob("*.sql")):
        match = re.fullmatch(r"(\d{4})_([a-z0-9_]+)\.sql", path.name)
        if match is None:
            raise MigrationError(f"{path.name}: a migration is named NNNN_what_it_does.sql")
        found.append(Migration(int(match[1]), match[2], path.read_text(encoding="utf-8")))
    if [migration.version for migration in found] != list(range(1, len(found) + 1)):
        raise MigrationError(f"{folder}: migrations must be numbered from 0001 without gaps")
    return found


async def migrate(direct_url: str, folder: Path) -> int:
    """Applies what is missing; returns how many.

    Waits up to 60 s for the database, and for another runner. A version that this release does not know, of a
    newer one, is left alone. Raises MigrationError when an applied file was changed or a new one fails.
    """
    migrations = read(folder)
    async with await connect(direct_url) as connection:
        await connection.execute(_LOCK)
        await connection.execute(_TABLE)
        cursor = await connection.execute("SELECT version, checksum FROM schema_migrations")
        applied: dict[int, str] = dict(await cursor.fetchall())
        for migration in migrations:
            if applied.get(migration.version, migration.checksum) != migration.checksum:
                raise MigrationError(
                    f"migration {migration} was changed after it had been applied: "
                    "restore the file and put the change into a new migration"
                )
        pending = [migration for migration in migrations if migration.version not in applied]
        for migration in pending:
            await _apply(connection, migration)
    return len(pending)


async def _apply(connection: Connection, migration: Migration) -> None:
    try:
        async with connection.transaction():
            await connection.execute(migration.sql)
            await connection.execute(
                "INSERT INTO schema_migrations (version, name, checksum) VALUES (%s, %s, %s)",
                (migration.version, migration.name, migration.checksum),
            )
    except psycopg.Error as error:
        raise MigrationError(f"migration {migration} failed: {error}") from error
    log.info("migration_applied", version=migration.version, name=migration.name)

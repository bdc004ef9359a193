"""All SQL about the S3 settings."""

from dataclasses import asdict, dataclass, field
from typing import Final
from uuid import UUID

from psycopg.rows import class_row

from services.kernel.postgres import Pool
from services.storage.configuration.model import ENVIRONMENT_ETAG
from services.storage.s3.capabilities import Capabilities

CHANNEL: Final = "s3_settings_changed"

_FIELDS: Final = """
enabled, endpoint, public_endpoint, region, bucket, access_key_id, sealed_secret, prefix, path_style, cdn_url, delivery
"""
_VALUES: Final = """
%(enabled)s, %(endpoint)s, %(public_endpoint)s, %(region)s, %(bucket)s, %(access_key_id)s, %(sealed_secret)s,
%(prefix)s, %(path_style)s, %(cdn_url)s, %(delivery)s
"""
_READ: Final = f"SELECT etag, {_FIELDS} FROM s3_settings"
_INSERT: Final = f"""
INSERT INTO s3_settings ({_FIELDS}, updated_by) VALUES ({_VALUES}, %(by)s) ON CONFLICT (the_only) DO NOTHING
"""
_UPDATE: Final = f"""
UPDATE s3_settings SET ({_FIELDS}) = ({_VALUES}), etag = gen_random_uuid(), updated_at = now(), updated_by = %(by)s
WHERE %(expected)s::uuid IS NULL OR etag = %(expected)s
"""
_DELETE: Final = "DELETE FROM s3_settings WHERE %(expected)s::uuid IS NULL OR etag = %(expected)s"
_TELL: Final = f"NOTIFY {CHANNEL}"
_NEWEST: Final = (
    "SELECT key FROM objects WHERE tier = 's3' ORDER BY created_at DESC, id LIMIT %(count)s"
)
_CAPABILITIES: Final = (
    "SELECT listing, checksums, tried_at FROM s3_capabilities WHERE target = %(target)s"
)
_RECORD: Final = """
INSERT INTO s3_capabilities (target, listing, checksums) VALUES (%(target)s, %(listing)s, %(checksums)s)
ON CONFLICT (target) DO UPDATE SET listing = excluded.listing, checksums = excluded.checksums, tried_at = now()
"""


@dataclass(frozen=True, slots=True)
class SettingsRow:
    """What an operator saved; `etag` None before it is saved."""

    enabled: bool
    endpoint: str
    public_endpoint: str
    region: str
    bucket: str
    access_key_id: str
    sealed_secret: bytes | None = field(repr=False)
    prefix: str
    path_style: bool
    cdn_url: str
    delivery: str
    etag: UUID | None = None


class SettingsStore:
    """The one row of settings, and what was found out about servers. Every method is one transaction."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def read(self) -> SettingsRow | None:
        """What an operator saved, if one did."""
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=class_row(SettingsRow))
            await cursor.execute(_READ)
            return await cursor.fetchone()

    async def write(self, row: SettingsRow, by: UUID, expected: str) -> bool:
        """Saves the settings and tells every replica; False when the etag is not the `expected` one ("" is any)."""
        parameters = {**asdict(row), "by": by, "expected": _row_etag(expected)}
        async with self._pool.connection() as connection, connection.transaction():
            # Either is tried only where it may do something: an update of what was reset meanwhile is a conflict.
            done = 0
            if expected != ENVIRONMENT_ETAG:
                done = (await connection.execute(_UPDATE, parameters)).rowcount
            if not done and expected in {"", ENVIRONMENT_ETAG}:
                done = (await connection.execute(_INSERT, parameters)).rowcount
            await connection.execute(_TELL)
            return done > 0

    async def reset(self, expected: str) -> bool:
        """Forgets the settings and tells every replica; False when the etag is not the `expected` one ("" is any)."""
        if expected == ENVIRONMENT_ETAG:
            return await self.read() is None
        parameters = {"expected": _row_etag(expected)}
        async with self._pool.connection() as connection, connection.transaction():
            done = (await connection.execute(_DELETE, parameters)).rowcount
            await connection.execute(_TELL)
            return done > 0 or not expected

    async def newest_keys(self, count: int) -> list[str]:
        """Keys of the objects that were last kept in S3."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(_NEWEST, {"count": count})
            return [row[0] for row in await cursor.fetchall()]

    async def capabilities(self, target: bytes) -> Capabilities | None:
        """What was found out about the server with this fingerprint."""
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=class_row(Capabilities))
            await cursor.execute(_CAPABILITIES, {"target": target})
            return await cursor.fetchone()

    async def record(self, target: bytes, found: Capabilities) -> None:
        """Remembers what was found out just now, and tells every replica."""
        parameters = {
            "target": target,
            "listing": found.listing,
            "checksums": found.checksums,
        }
        async with self._pool.connection() as connection, connection.transaction():
            await connection.execute(_RECORD, parameters)
            await connection.execute(_TELL)


def _row_etag(expected: str) -> UUID | None:
    """The etag a row must have; one that is no UUID is that of no row."""
    if expected in {"", ENVIRONMENT_ETAG}:
        return None
    try:
        return UUID(expected)
    except ValueError:
        return UUID(int=0)

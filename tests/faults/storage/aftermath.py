"""What a storage process has left behind, asked of its database, its bucket and its disk themselves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from typing import Any, Self

import psycopg

from reelgate.common.v1 import run_pb2
from services.kernel.errors import Unavailable
from tests.conftest import S3Access
from tests.integration.storage.bucket import Bucket
from tests.integration.storage.harness import Client, StorageProcess

_ROWS = """
SELECT (SELECT count(*) FROM objects WHERE generation_id = %(run)s),
  (SELECT count(*) FROM uploads WHERE generation_id = %(run)s),
  (SELECT count(*) FROM removals WHERE generation_id = %(run)s AND seen_gone_at IS NULL)
"""


@dataclass(frozen=True, slots=True)
class Rows:
    """What the database knows of a generation: objects, transfers under way, bytes that still have to go."""

    objects: int
    uploads: int
    removals: int


class Aftermath:
    """Looks at everything one process could leave behind."""

    def __init__(
        self,
        process: StorageProcess,
        database: psycopg.AsyncConnection[Any],
        bucket: Bucket | None,
    ) -> None:
        self._process = process
        self._database = database
        self._bucket = bucket
        self._asking = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def of(cls, process: StorageProcess, s3: S3Access | None) -> AsyncIterator[Self]:
        """Asks `s3` directly, whatever stands between it and the process."""
        async with await psycopg.AsyncConnection.connect(
            process.database, autocommit=True
        ) as database:
            if s3 is None:
                yield cls(process, database, None)
                return
            with closing(Bucket(s3, process.prefix)) as bucket:
                yield cls(process, database, bucket)

    async def rows(self, generation_id: str) -> Rows:
        async with self._asking:
            cursor = await self._database.execute(_ROWS, {"run": generation_id})
            row = await cursor.fetchone()
        assert row is not None
        return Rows(*row)

    async def keys(self, below: str = "") -> list[str]:
        """Objects in the bucket and files on the disk whose key begins so; all without it."""
        return await asyncio.to_thread(self._keys, below)

    def _keys(self, below: str) -> list[str]:
        stored = self._bucket.stored(below) if self._bucket else []
        root = self._process.local_dir
        files = [path.relative_to(root) for path in root.rglob("*") if path.is_file()]
        kept = [str(path) for path in files if not str(path).startswith(".")]
        return stored + [key for key in kept if key.startswith(below)]

    async def unfinished(self, object_part: str = "") -> list[str]:
        """Multipart uploads and half files whose key has `object_part` in it."""
        return await asyncio.to_thread(self._unfinished, object_part)

    def _unfinished(self, object_part: str) -> list[str]:
        begun = self._bucket.uploads() if self._bucket else []
        halves = [str(path) for path in (self._process.local_dir / ".unfinished").glob("*")]
        return [one for one in begun + halves if object_part in one]

    async def nothing(self) -> None:
        """The whole process has nothing stored, begun or still to be removed."""
        assert await self.keys() == []
        assert await self.unfinished() == []
        async with self._asking:
            cursor = await self._database.execute(
                "SELECT (SELECT count(*) FROM objects), (SELECT count(*) FROM uploads),"
                " (SELECT count(*) FROM removals WHERE seen_gone_at IS NULL)"
            )
            assert await cursor.fetchone() == (0, 0, 0)


async def tombstoned(client: Client, run: run_pb2.Run) -> int | None:
    """How many objects of the run were deleted; None when it took more than one call until their bytes were gone."""
    for again in range(6):
        try:
            deleted = await client.tombstone(run)
        except Unavailable as pending:
            assert pending.reason == "REMOVAL_PENDING"
        else:
            return None if again else deleted
    raise AssertionError("the bytes were never gone")

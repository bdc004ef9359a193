"""A tier's bytes, looked at and changed behind the service's back."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol
from uuid import UUID, uuid4

from reelgate.storage.v1 import storage_pb2
from services.kernel.status import rpc_errors
from tests.conftest import S3Access
from tests.integration.storage.bucket import Bucket
from tests.integration.storage.harness import Client, StorageProcess, eventually

# Garbage is garbage at once, and is removed by the next sweep that comes a second later.
IMPATIENT = {
    "REELGATE_STORAGE_ORPHAN_AGE_HOURS": "0",
    "REELGATE_STORAGE_ORPHAN_KEEP_DAYS": "0.00001",
    "REELGATE_STORAGE_SWEEP_MOST_PERCENT": "100",
    "REELGATE_STORAGE_THUMBNAILS": "false",
}
KEPT_SECONDS = 1.0


class Ground(Protocol):
    """Bytes by their keys; those of the service begin with its prefix."""

    tier: storage_pb2.Tier.ValueType
    prefix: str

    def keys(self) -> set[str]:
        """All keys but dotted ones."""

    def put(self, key: str, body: bytes) -> None:
        """Puts bytes there."""

    def remove(self, key: str) -> None:
        """Takes them away."""

    def leave_pieces(self, key: str) -> None:
        """Leaves what a broken upload leaves."""

    def pieces(self) -> list[str]:
        """What is there of it."""


class S3Ground:
    """The part of a bucket below a prefix."""

    tier = storage_pb2.TIER_S3

    def __init__(self, bucket: Bucket, prefix: str) -> None:
        self._bucket = bucket
        self.prefix = prefix

    def keys(self) -> set[str]:
        return {key for key in self._bucket.stored() if not key.startswith(f"{self.prefix}.")}

    def put(self, key: str, body: bytes) -> None:
        self._bucket.put(key, body)

    def remove(self, key: str) -> None:
        self._bucket.remove(key)

    def leave_pieces(self, key: str) -> None:
        self._bucket.begin_upload(key)

    def pieces(self) -> list[str]:
        return self._bucket.uploads()


class LocalGround:
    """The folder of the local tier."""

    tier = storage_pb2.TIER_LOCAL
    prefix = ""

    def __init__(self, root: Path) -> None:
        self._root = root

    def keys(self) -> set[str]:
        found = (path for path in self._root.rglob("*") if path.is_file())
        keys = {str(path.relative_to(self._root)) for path in found}
        return {key for key in keys if not key.startswith(".")}

    def put(self, key: str, body: bytes) -> None:
        (self._root / key).parent.mkdir(parents=True, exist_ok=True)
        (self._root / key).write_bytes(body)

    def remove(self, key: str) -> None:
        (self._root / key).unlink()

    def leave_pieces(self, key: str) -> None:
        folder = self._root / ".unfinished"
        folder.mkdir(exist_ok=True)
        (folder / f"{Path(key).stem}.{uuid4().hex}").write_bytes(b"half")

    def pieces(self) -> list[str]:
        return [path.name for path in (self._root / ".unfinished").glob("*")]


@contextmanager
def ground_of(process: StorageProcess, s3: S3Access | None) -> Iterator[Ground]:
    """Where a process keeps what is given to it: the bucket, or the folder where it has none."""
    if s3 is None:
        yield LocalGround(process.local_dir)
        return
    bucket = Bucket(s3, process.prefix)
    try:
        yield S3Ground(bucket, process.prefix)
    finally:
        bucket.close()


def work_key(prefix: str, *, owner: UUID | None = None, extension: str = "mp4") -> str:
    """The key of a work that nobody knows."""
    return f"{prefix}{owner or uuid4()}/2025/06/15/{uuid4()}.{extension}"


def grow_old(path: Path, seconds: float) -> None:
    """Sets the clock of a file back."""
    then = time.time() - seconds
    os.utime(path, (then, then))


async def settled(process: StorageProcess) -> None:
    """Returns when a new process has tried what its S3 server can, for which it uploads things."""
    await eventually(lambda: process.rows("SELECT 1 FROM s3_capabilities") != [])


async def sweep(client: Client, *, dry_run: bool = False) -> storage_pb2.SweepResponse:
    """The final counts; raises the ReelgateError."""
    return (await sweep_steps(client, dry_run=dry_run))[-1]


async def sweep_steps(client: Client, *, dry_run: bool = False) -> list[storage_pb2.SweepResponse]:
    """All messages of a sweep."""
    with rpc_errors():
        request = storage_pb2.SweepRequest(dry_run=dry_run)
        call = client.stub.Sweep(request, metadata=client.user(role="admin"))
        return [message async for message in call]


async def delete(client: Client, *object_ids: str) -> None:
    """Deletes objects, bytes and all."""
    with rpc_errors():
        request = storage_pb2.DeleteObjectsRequest(object_ids=object_ids)
        await client.stub.DeleteObjects(request, metadata=client.gateway())

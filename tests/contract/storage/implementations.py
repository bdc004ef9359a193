"""What the suite is run on, and what each of them can do: a fact about the server, not about us."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from enum import Enum, auto
from pathlib import Path
from uuid import uuid4

from services.kernel.egress import Egress, Policy
from services.storage.local.blobs import LocalBlobs
from services.storage.ports import Blobs
from services.storage.s3.blobs import S3Blobs, open_s3
from services.storage.s3.target import S3Target
from tests.conftest import S3Access


class Can(Enum):
    """What not every implementation does."""

    LINK = auto()
    """Readers and browsers get links, signed ones."""
    CHECK_PARTS = auto()
    """A part whose checksum does not fit is refused."""
    KEEP_UPLOADS_APART = auto()
    """Of two unfinished uploads for one key each can be found, and both go with the key."""


@dataclass(frozen=True, slots=True)
class Implementation:
    """One of the things that keep bytes."""

    name: str
    can: frozenset[Can]

    def __str__(self) -> str:
        return self.name


SEAWEEDFS = Implementation("seaweedfs", frozenset(Can))
RCLONE = Implementation("rclone", frozenset({Can.LINK, Can.KEEP_UPLOADS_APART}))
LOCAL = Implementation("local", frozenset({Can.KEEP_UPLOADS_APART}))
ALL = (SEAWEEDFS, RCLONE, LOCAL)
SERVERS = (SEAWEEDFS, RCLONE)


def those_that(can: Can) -> tuple[Implementation, ...]:
    return tuple(one for one in ALL if can in one.can)


def those_that_do_not(
    can: Can, among: tuple[Implementation, ...] = ALL
) -> tuple[Implementation, ...]:
    return tuple(one for one in among if can not in one.can)


def target_of(access: S3Access) -> S3Target:
    """A part of the bucket that nobody else uses."""
    return S3Target(
        endpoint=access.endpoint,
        public_endpoint="",
        region=access.region,
        bucket=access.bucket,
        access_key_id=access.access_key_id,
        secret_access_key=access.secret_access_key,
        prefix=f"{uuid4().hex}/",
        path_style=True,
        cdn_url="",
        private=True,
    )


@asynccontextmanager
async def s3_blobs(target: S3Target) -> AsyncIterator[S3Blobs]:
    async with Egress(Policy()) as egress, open_s3(target, egress) as blobs:
        yield blobs


@asynccontextmanager
async def opened(
    which: Implementation, accesses: dict[str, S3Access], directory: Path
) -> AsyncIterator[Blobs]:
    """The implementation, empty."""
    if which == LOCAL:
        yield await local_blobs(directory / "root")
    else:
        async with s3_blobs(target_of(accesses[which.name])) as blobs:
            yield blobs


async def local_blobs(root: Path, *, min_free_bytes: int = 0) -> LocalBlobs:
    """The local tier on a new volume."""
    local = LocalBlobs(root, min_free_bytes=min_free_bytes)
    local.volume = await local.name_volume()
    return local


def spoiled(target: S3Target, what: str) -> S3Target:
    """A target that can not work: its secret, its bucket or its endpoint is wrong."""
    return {
        "secret": replace(target, secret_access_key="wrong"),
        "bucket": replace(target, bucket="no-such-bucket"),
        "endpoint": replace(target, endpoint="http://127.0.0.1:9"),
    }[what]

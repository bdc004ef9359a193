"""Bytes of works that no row knows are given one: the key says whose they are, the bytes say what."""

import asyncio
import hashlib
import time
from typing import Final

import structlog

from services.storage.keys import KeyName
from services.storage.ports import Blobs, Listed, TierFailed
from services.storage.sniff import HEAD_BYTES, sniff
from services.storage.store.sweeps import Found, Known, SweepStore

log = structlog.get_logger()

# After a restore there may be terabytes to read, and people who want to download meanwhile.
_BYTES_PER_SECOND: Final = 64 * 1024 * 1024
# The key went meanwhile, or its bytes are not what the listing said.
_OF_THE_BYTES: Final = frozenset({"missing", "broken"})


class Adoption:
    """Reads bytes, and makes or mends rows; with `dry_run` it only looks whether it could."""

    def __init__(self, store: SweepStore, *, dry_run: bool) -> None:
        self._store = store
        self._dry_run = dry_run

    async def adopt(self, blobs: Blobs, name: KeyName, listed: Listed) -> bool:
        """Makes an object of the bytes. False when they are no media, or somebody knows them by now."""
        found = await self._read(blobs, name, listed)
        if found is None:
            return False
        if not self._dry_run:
            if not await self._store.adopt(blobs.tier, found):
                return False
            log.info("object_adopted", tier=blobs.tier, key=name.key, size_bytes=listed.size_bytes)
        return True

    async def put_right(
        self, blobs: Blobs, other: Blobs, known: Known, name: KeyName, listed: Listed
    ) -> bool:
        """Has the object lie here when its bytes are not in the `other` tier. False when they are, or are others."""
        if known.other_key is None or await other.holds(known.other_key):
            return False
        found = await self._read(blobs, name, listed)
        if found is None:
            return False
        if not self._dry_run:
            if not await self._store.put_right(blobs.tier, found, known):
                return False
            log.info("object_put_right", tier=blobs.tier, key=name.key)
        return True

    async def _read(self, blobs: Blobs, name: KeyName, listed: Listed) -> Found | None:
        """What the bytes are; only their beginning is read on a dry run, which leaves the digest empty."""
        size_bytes = min(listed.size_bytes, HEAD_BYTES) if self._dry_run else listed.size_bytes
        if not size_bytes:
            return None
        try:
            head, digest = await _digested(blobs, name.key, size_bytes)
        except TierFailed as failure:
            if failure.trouble not in _OF_THE_BYTES:
                raise
            log.info("object_not_adopted", tier=blobs.tier, key=name.key, trouble=failure.trouble)
            return None
        kind = sniff(head)
        if kind is None:
            log.info("object_not_adopted", tier=blobs.tier, key=name.key, trouble="no media")
            return None
        return Found(name, listed, kind.content_type, digest)


async def _digested(blobs: Blobs, key: str, size_bytes: int) -> tuple[bytes, bytes]:
    """The first bytes under a key, and the SHA-256 of all. Raises TierFailed."""
    head, digest, done = b"", hashlib.sha256(), 0
    begin = time.perf_counter()
    async with blobs.read(key, 0, size_bytes) as chunks:
        async for chunk in chunks:
            if len(head) < HEAD_BYTES:
                head += chunk[: HEAD_BYTES - len(head)]
            # A chunk is 256 KiB at most: a thread would cost more than it takes.
            digest.update(chunk)
            done += len(chunk)
            await asyncio.sleep(max(0, done / _BYTES_PER_SECOND - (time.perf_counter() - begin)))
    if done != size_bytes:
        raise TierFailed(blobs.tier, "broken", f"{size_bytes - done} bytes are missing")
    return head, digest.digest()

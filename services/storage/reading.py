"""Kept bytes on their way out: read where the object lies, and on from there when it is moved meanwhile."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from services.storage.measures import SENT_BYTES_TOTAL
from services.storage.objects import StoredObject, Tier, thumbnail_key
from services.storage.ports import TierFailed
from services.storage.store.transfers import Store
from services.storage.tiers import Tiers


class Reader:
    """Reads objects."""

    def __init__(self, store: Store, tiers: Tiers) -> None:
        self._store = store
        self._tiers = tiers

    @asynccontextmanager
    async def open(
        self, found: StoredObject, offset: int, length: int, *, thumbnail: bool
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """`length` bytes from `offset`, of its `thumbnail` if asked. Raises TierFailed, also while they are read."""
        if thumbnail:
            # It does not move along: it is made anew.
            key = thumbnail_key(found.key)
            async with self._tiers.get(found.tier).read(key, offset, length) as chunks:
                yield _counted(chunks, found.tier)
            return
        async with AsyncExitStack() as stack:
            try:
                chunks = await self._enter(stack, found, offset, length)
            except TierFailed as failure:
                found = await self._moved(found, failure)
                chunks = await self._enter(stack, found, offset, length)
            yield self._all(stack, found, chunks, offset, length)

    async def _enter(
        self, stack: AsyncExitStack, found: StoredObject, offset: int, length: int
    ) -> AsyncIterator[bytes]:
        blobs = self._tiers.get(found.tier)
        chunks = await stack.enter_async_context(blobs.read(found.key, offset, length))
        return _counted(chunks, found.tier)

    async def _all(
        self,
        stack: AsyncExitStack,
        found: StoredObject,
        chunks: AsyncIterator[bytes],
        offset: int,
        length: int,
    ) -> AsyncIterator[bytes]:
        while length:
            try:
                async for chunk in chunks:
                    offset, length = offset + len(chunk), length - len(chunk)
                    yield chunk
                failure = TierFailed(found.tier, "broken", f"{length} bytes are missing")
            except TierFailed as its:
                failure = its
            if length:
                found = await self._moved(found, failure)
                chunks = await self._enter(stack, found, offset, length)

    async def _moved(self, found: StoredObject, failure: TierFailed) -> StoredObject:
        """The object at its new place; raises the failure when it has none."""
        again = await self._store.get(found.id)
        if again is None or (again.tier, again.key) == (found.tier, found.key):
            raise failure
        return again


async def _counted(chunks: AsyncIterator[bytes], tier: Tier) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        SENT_BYTES_TOTAL.labels(tier).inc(len(chunk))
        yield chunk

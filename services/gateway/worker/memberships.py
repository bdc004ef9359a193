"""Tells quota who is in which group (G1): at once when it changes, and again until quota has confirmed it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Final, Protocol
from uuid import UUID

import structlog
from prometheus_client import Counter

from services.gateway.store.memberships import MembershipStore
from services.kernel.errors import ReelgateError
from services.kernel.postgres import DATABASE_ERRORS, listen

log = structlog.get_logger()

TOLD_TOTAL: Final = Counter(
    "reelgate_memberships_told_total", "Memberships in groups that quota was told of"
)

_BATCH: Final = 100
_RETRY_SECONDS: Final = 2.0


class Quota(Protocol):
    """Whoever has to know."""

    async def set_subject(self, user_id: UUID, group_id: UUID | None, version: int) -> None:
        """Remembers a user's group unless it knows a later version."""


class Memberships:
    """Several replicas may tell the same: quota takes it once."""

    def __init__(
        self, store: MembershipStore, quota: Quota, *, retry_seconds: float = _RETRY_SECONDS
    ) -> None:
        self._store = store
        self._quota = quota
        self._retry_seconds = retry_seconds

    async def tell_for_ever(self, direct_url: str) -> None:
        """Tells what changes, and whatever was left over."""
        async with aclosing(listen(direct_url, "memberships_changed")) as hints:
            await self.tell_at(hints)

    async def tell_at(self, hints: AsyncIterator[object]) -> None:
        """Tells all there is at each hint."""
        async for _ in hints:
            try:
                while await self._tell_some():
                    pass
            except DATABASE_ERRORS as error:
                log.warning("memberships_not_read", error=type(error).__name__)
            except ReelgateError as error:
                # Quota is away: the next hint comes in seconds, and the rows know what is to be told.
                log.warning("memberships_not_told", reason=error.reason)
                await asyncio.sleep(self._retry_seconds)

    async def _tell_some(self) -> bool:
        untold = await self._store.untold(_BATCH)
        for one in untold:
            await self._quota.set_subject(one.user_id, one.group_id, one.version)
            await self._store.told(one)
            TOLD_TOTAL.inc()
        return bool(untold)

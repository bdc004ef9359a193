"""Compares quota's books with what storage really holds, user by user (G9): quota itself calls nobody."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol
from uuid import UUID

import structlog
from prometheus_client import Counter

from services.gateway.people import User
from services.gateway.store.drifts import Drift, DriftStore

log = structlog.get_logger()

COUNTED_TOTAL: Final = Counter(
    "reelgate_reconciled_users_total",
    "Users whose books were compared with storage and the ledger, by result (same, drifted, repaired)",
    ("result",),
)

PAGE_USERS: Final = 50

RunBytes = Mapping[tuple[UUID, int], int]
"""Bytes in storage by (generation, run)."""


class Recount(Protocol):
    """What quota answers: bytes and credits, of which no more is looked at here than this."""

    drifted: bool
    repaired: bool
    recorded_used_bytes: int
    counted_used_bytes: int
    recorded_reserved_bytes: int
    counted_reserved_bytes: int
    recorded_balance: int
    ledger_balance: int
    recorded_held: int
    ledger_held: int
    recorded_spent: int
    ledger_spent: int


class Storage(Protocol):
    """Whoever holds the bytes."""

    async def bytes_by_run(self, owner: UUID) -> RunBytes:
        """What it holds of an owner's generations."""


class Quota(Protocol):
    """Whoever keeps the books."""

    async def reconcile(
        self, user_id: UUID, found: RunBytes, listed_at: datetime, *, repair: bool
    ) -> Recount:
        """Counts a user anew."""


class People(Protocol):
    """Whoever knows the users."""

    async def user(self, user_id: UUID) -> User:
        """Raises NotFound."""

    async def users(self, query: str, *, after: UUID | None, limit: int) -> list[User]:
        """Those behind `after`, by id."""

    async def count_users(self) -> int:
        """How many there are."""


@dataclass(frozen=True, slots=True)
class Counted:
    """One user was counted, the `done`-th of `total`."""

    recount: Recount
    done: int
    total: int


class Reconciliation:
    """Counts users anew, and remembers whose books are off."""

    def __init__(self, people: People, storage: Storage, quota: Quota, drifts: DriftStore) -> None:
        self._people = people
        self._storage = storage
        self._quota = quota
        self._drifts = drifts

    async def everybody(self, *, repair: bool) -> AsyncIterator[Counted]:
        """All users, by id. Raises Unavailable when storage or quota is away."""
        done, total = 0, await self._people.count_users()
        last: UUID | None = None
        while users := await self._people.users("", after=last, limit=PAGE_USERS):
            for user in users:
                done += 1
                yield Counted(await self._count(user.id, repair=repair), done, max(total, done))
            last = users[-1].id

    async def user(self, user_id: UUID, *, repair: bool) -> Counted:
        """One. Raises NotFound, Unavailable."""
        await self._people.user(user_id)
        return Counted(await self._count(user_id, repair=repair), 1, 1)

    async def page(self, after: UUID | None) -> UUID | None:
        """Counts the next users behind `after`; the last of them, or None when there are none behind him.

        Raises Unavailable.
        """
        users = await self._people.users("", after=after, limit=PAGE_USERS)
        for user in users:
            await self._count(user.id, repair=False)
        return users[-1].id if len(users) == PAGE_USERS else None

    async def _count(self, user_id: UUID, *, repair: bool) -> Recount:
        # Before the listing: what settles from now on is none of its business.
        listed_at = datetime.now(UTC)
        found = await self._storage.bytes_by_run(user_id)
        recount = await self._quota.reconcile(user_id, found, listed_at, repair=repair)
        drift = _drift(recount) if recount.drifted and not recount.repaired else None
        await self._drifts.note(user_id, drift)
        result = "repaired" if recount.repaired else "drifted" if recount.drifted else "same"
        COUNTED_TOTAL.labels(result).inc()
        if recount.drifted:
            log.warning("books_drifted", user_id=str(user_id), repaired=recount.repaired)
        return recount


def _drift(recount: Recount) -> Drift:
    return Drift(
        used_bytes=recount.recorded_used_bytes - recount.counted_used_bytes,
        reserved_bytes=recount.recorded_reserved_bytes - recount.counted_reserved_bytes,
        balance=recount.recorded_balance - recount.ledger_balance,
        held=recount.recorded_held - recount.ledger_held,
        spent=recount.recorded_spent - recount.ledger_spent,
    )

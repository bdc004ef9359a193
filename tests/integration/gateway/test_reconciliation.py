"""G9: everybody is compared once a day by one replica or another, and whose books are off is known to all."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import pytest

from services.gateway import reconciliation as reconciliation_module
from services.gateway.reconciliation import Reconciliation
from services.gateway.store.drifts import DriftStore, DriftTotals
from services.gateway.store.people import PeopleStore
from services.gateway.store.timers import TimerStore
from services.gateway.worker.reconciling import DailyRound
from services.kernel.errors import NotFound, Unavailable
from services.kernel.ids import new_id
from services.kernel.postgres import Pool
from tests.integration.gateway.conftest import add_user


@dataclass
class Counted:
    """What quota says of a user."""

    drifted: bool
    repaired: bool
    recorded_used_bytes: int = 0
    counted_used_bytes: int = 0
    recorded_reserved_bytes: int = 0
    counted_reserved_bytes: int = 0
    recorded_balance: int = 0
    ledger_balance: int = 0
    recorded_held: int = 0
    ledger_held: int = 0
    recorded_spent: int = 0
    ledger_spent: int = 0


class Others:
    """Storage and quota at once: `holds` is what the one has, `books` what the other believes."""

    def __init__(self) -> None:
        self.holds: dict[UUID, int] = {}
        self.books: dict[UUID, int] = {}
        self.counted: list[UUID] = []
        self.away = False

    async def bytes_by_run(self, owner: UUID) -> Mapping[tuple[UUID, int], int]:
        if self.away:
            raise Unavailable("away")
        return {(owner, 0): self.holds[owner]} if owner in self.holds else {}

    async def reconcile(
        self,
        user_id: UUID,
        found: Mapping[tuple[UUID, int], int],
        listed_at: datetime,
        *,
        repair: bool,
    ) -> Counted:
        assert listed_at <= datetime.now(UTC)
        self.counted.append(user_id)
        recorded, counted = self.books.get(user_id, 0), sum(found.values())
        drifted = recorded != counted
        if drifted and repair:
            self.books[user_id] = counted
        return Counted(
            drifted,
            drifted and repair,
            recorded_used_bytes=recorded,
            counted_used_bytes=counted,
        )


@pytest.fixture
def others() -> Others:
    return Others()


@pytest.fixture
def drifts(pool: Pool) -> DriftStore:
    return DriftStore(pool)


@pytest.fixture
def timers(pool: Pool) -> TimerStore:
    return TimerStore(pool)


@pytest.fixture
def reconciliation(pool: Pool, others: Others, drifts: DriftStore) -> Reconciliation:
    return Reconciliation(PeopleStore(pool), others, others, drifts)


@pytest.fixture
async def users(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> list[UUID]:
    """Seven, where a page has three."""
    monkeypatch.setattr(reconciliation_module, "PAGE_USERS", 3)
    return [await add_user(pool) for _ in range(7)]


async def everybody(
    reconciliation: Reconciliation, *, repair: bool = False
) -> list[tuple[int, int]]:
    return [(one.done, one.total) async for one in reconciliation.everybody(repair=repair)]


async def test_g9_everybody_is_compared_once_and_a_bar_can_be_drawn(
    reconciliation: Reconciliation, others: Others, users: list[UUID]
) -> None:
    assert await everybody(reconciliation) == [(number, 7) for number in range(1, 8)]
    assert others.counted == users


async def test_g9_whose_books_are_off_is_known_until_they_are_right(
    reconciliation: Reconciliation, others: Others, drifts: DriftStore, users: list[UUID]
) -> None:
    others.books = {users[0]: 100, users[1]: 5, users[2]: 7}
    others.holds = {users[0]: 40, users[1]: 25, users[2]: 7}
    await everybody(reconciliation)
    assert await drifts.totals() == DriftTotals(users=2, size_bytes=60 + 20, credits=0)
    others.holds[users[1]] = 5  # it was a matter of time
    await reconciliation.user(users[1], repair=False)
    assert await drifts.totals() == DriftTotals(users=1, size_bytes=60, credits=0)
    await everybody(reconciliation, repair=True)
    assert await drifts.totals() == DriftTotals(0, 0, 0)
    assert others.books[users[0]] == 40


async def test_g9_a_user_who_is_not_there_is_not_found(
    reconciliation: Reconciliation, others: Others
) -> None:
    with pytest.raises(NotFound):
        await reconciliation.user(new_id(), repair=True)
    assert others.counted == []


def daily(
    reconciliation: Reconciliation, drifts: DriftStore, timers: TimerStore, seconds: float = 3600
) -> DailyRound:
    return DailyRound(reconciliation, drifts, timers, interval_seconds=seconds)


async def test_g9_two_replicas_share_a_round_and_the_next_comes_a_day_later(
    reconciliation: Reconciliation,
    others: Others,
    drifts: DriftStore,
    timers: TimerStore,
    users: list[UUID],
) -> None:
    replicas = [daily(reconciliation, drifts, timers) for _ in range(2)]
    for _ in range(3):
        await asyncio.gather(*(replica.page() for replica in replicas))
    assert sorted(others.counted) == users
    await asyncio.gather(*(replica.page() for replica in replicas))
    assert len(others.counted) == 7, "the round is over"


async def test_g9_what_a_killed_replica_left_is_gone_on_with(
    reconciliation: Reconciliation,
    others: Others,
    drifts: DriftStore,
    timers: TimerStore,
    users: list[UUID],
    pool: Pool,
) -> None:
    assert await daily(reconciliation, drifts, timers).page()
    assert await timers.claim("reconciliation", 600) is not None  # and was killed
    survivor = daily(reconciliation, drifts, timers)
    assert not await survivor.page()
    async with pool.connection() as connection:
        await connection.execute("UPDATE timers SET due_at = now()")  # ten minutes later
    while await survivor.page():
        pass
    assert others.counted == users


async def test_g9_while_storage_is_away_the_round_stays_where_it_is(
    reconciliation: Reconciliation,
    others: Others,
    drifts: DriftStore,
    timers: TimerStore,
    users: list[UUID],
    pool: Pool,
) -> None:
    replica = daily(reconciliation, drifts, timers)
    assert await replica.page()
    others.away = True
    assert not await replica.page()
    others.away = False
    assert not await replica.page(), "not at once"
    async with pool.connection() as connection:
        await connection.execute("UPDATE timers SET due_at = now()")
    while await replica.page():
        pass
    assert others.counted == users

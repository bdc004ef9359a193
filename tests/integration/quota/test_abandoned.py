"""The backstop of 48 hours (G3): a reservation that nobody ended is given up, whatever else happens to it meanwhile."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest

from services.kernel.ids import new_id
from services.kernel.postgres import Pool
from services.quota.backstop import watch_for_abandoned
from services.quota.model import Outcome, Run, Verdict
from services.quota.service import QuotaService
from services.quota.store import Store
from tests.integration.quota.test_state_machine import drift

HOURS_48 = timedelta(hours=48)


@pytest.fixture
def store(pool: Pool) -> Store:
    return Store(pool)


async def admitted(store: Store, user: UUID, reserve: int) -> Run:
    run = Run(new_id(), 0)
    assert (await store.admit(run, user, reserve, 0)).verdict is Verdict.DONE
    return run


async def age(pool: Pool, run: Run, hours: int) -> None:
    """Makes the admission that many hours older."""
    async with pool.connection() as connection:
        await connection.execute(
            "UPDATE reservations SET create_time = create_time - %s WHERE generation_id = %s",
            (timedelta(hours=hours), run.generation_id),
        )


async def test_only_what_is_older_than_48_hours_and_open_is_given_up(
    store: Store, pool: Pool
) -> None:
    user = new_id()
    old, young, settled = [await admitted(store, user, size) for size in (10, 20, 40)]
    await store.settle(settled, user, 40, Outcome.KEPT)
    await age(pool, old, 49)
    await age(pool, young, 47)
    await age(pool, settled, 100)

    assert await QuotaService(store).release_abandoned() == 1

    quota = await store.get(user)
    assert (quota.used_bytes, quota.reserved_bytes) == (40, 20)
    assert (await store.settle(old, user, 10, Outcome.KEPT)).verdict is Verdict.ENDED
    assert (await store.admit(old, user, 10, 0)).verdict is Verdict.ENDED
    assert await drift(pool) == []


async def test_several_batches_and_several_users_are_given_up_by_one_replica(
    store: Store, pool: Pool
) -> None:
    users = [new_id() for _ in range(3)]
    for number in range(30):
        await age(pool, await admitted(store, users[number % 3], 1), 50)
    said = await asyncio.gather(*(store.release_abandoned(HOURS_48, 7) for _ in range(4)))
    assert all(count in (0, 7) for count in said)
    released = sum(said)
    while count := await store.release_abandoned(HOURS_48, 7):
        released += count
    assert released == 30
    assert [(await store.get(user)).reserved_bytes for user in users] == [0, 0, 0]
    assert await drift(pool) == []


async def test_what_is_settled_at_the_same_moment_keeps_its_bytes(store: Store, pool: Pool) -> None:
    user = new_id()
    runs = [await admitted(store, user, 1) for _ in range(60)]
    for run in runs:
        await age(pool, run, 50)
    async with asyncio.TaskGroup() as both:
        settling = [both.create_task(store.settle(run, user, 1, Outcome.KEPT)) for run in runs]
        for _ in range(3):
            both.create_task(store.release_abandoned(HOURS_48, 20))
    settled = [task.result() for task in settling]
    kept = sum(answer.verdict is Verdict.DONE for answer in settled)
    assert {answer.verdict for answer in settled} <= {Verdict.DONE, Verdict.ENDED}
    assert (await store.get(user)).used_bytes == kept
    assert await drift(pool) == []


async def test_the_watch_goes_on_after_the_database_was_away(
    store: Store, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = new_id()
    await age(pool, await admitted(store, user, 5), 50)
    looked = 0
    release = store.release_abandoned

    async def unreliable(older_than: timedelta, limit: int) -> int:
        nonlocal looked
        looked += 1
        if looked == 1:
            raise OSError("gone")
        return await release(older_than, limit)

    monkeypatch.setattr(store, "release_abandoned", unreliable)
    watch = asyncio.create_task(watch_for_abandoned(QuotaService(store), interval_seconds=0.01))
    while (await store.get(user)).reserved_bytes:
        await asyncio.sleep(0.01)
    watch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watch

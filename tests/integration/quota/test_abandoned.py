"""The backstop: what nobody ended is given up (G3) and refunded (G7), whatever else happens to it meanwhile."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest

from services.kernel.ids import new_id
from services.kernel.postgres import Pool
from services.quota.backstop import watch
from services.quota.credits import Credits, CreditVerdict, Kind
from services.quota.ledger import Ledger
from services.quota.model import Outcome, Run, Verdict
from services.quota.service import QuotaService
from services.quota.store.credits import CreditStore
from services.quota.store.quotas import QuotaStore
from tests.integration.quota.books import drift

HOURS_48 = timedelta(hours=48)


@pytest.fixture
def credit_store(pool: Pool) -> CreditStore:
    return CreditStore(pool, new_user_credits=1000)


async def admitted(store: QuotaStore, user: UUID, reserve: int, price: int = 0) -> Run:
    run = Run(new_id(), 0)
    assert (await store.admit(run, user, reserve, price)).verdict is Verdict.DONE
    return run


async def age(pool: Pool, run: Run, hours: int) -> None:
    """Makes the admission, and that of its save, that many hours older."""
    async with pool.connection() as connection:
        await connection.execute(
            """
            UPDATE reservations SET create_time = create_time - %(age)s, save_time = save_time - %(age)s
            WHERE generation_id = %(run)s
            """,
            {"age": timedelta(hours=hours), "run": run.generation_id},
        )


async def test_only_what_is_older_than_48_hours_and_open_is_given_up(
    store: QuotaStore, pool: Pool
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
    store: QuotaStore, pool: Pool
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


async def test_what_is_settled_at_the_same_moment_keeps_its_bytes(
    store: QuotaStore, pool: Pool
) -> None:
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
    store: QuotaStore, credit_store: CreditStore, pool: Pool, monkeypatch: pytest.MonkeyPatch
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
    watching = asyncio.create_task(watch(QuotaService(store), Ledger(credit_store), 0.01))
    while (await store.get(user)).reserved_bytes:
        await asyncio.sleep(0.01)
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching


async def test_g7_what_is_given_up_is_refunded_once(
    store: QuotaStore, credit_store: CreditStore, pool: Pool
) -> None:
    user = new_id()
    run = await admitted(store, user, 10, price=30)
    await age(pool, run, 49)
    assert await QuotaService(store).release_abandoned() == 1
    assert (await store.release(run, user)).verdict is Verdict.REPLAYED
    assert (await credit_store.get(user))[0] == Credits(user, 1000, 0, 0)
    refund, *_ = await credit_store.transactions(user, None, 10)
    assert (refund.kind, refund.reason, refund.generation_id) == (
        Kind.REFUND,
        "abandoned",
        run.generation_id,
    )
    assert await drift(pool) == []


async def test_a_save_that_nobody_ended_is_given_up_and_the_run_stays_settled_and_paid(
    store: QuotaStore, credit_store: CreditStore, pool: Pool
) -> None:
    user = new_id()
    run = await admitted(store, user, 10, price=30)
    await store.settle(run, user, 0, Outcome.NOT_KEPT)
    await age(pool, run, 100)
    first = Run(run.generation_id, 0, 1)
    assert (await store.admit_save(first, user, 20)).verdict is Verdict.DONE
    assert await QuotaService(store).release_abandoned() == 0, "a save begins its 48 hours anew"
    await age(pool, run, 49)
    assert await QuotaService(store).release_abandoned() == 1
    assert (await store.get(user)).reserved_bytes == 0
    assert (await credit_store.get(user))[0] == Credits(user, 970, 0, 30)
    again = Run(run.generation_id, 0, 2)
    assert (await store.admit_save(again, user, 20)).verdict is Verdict.DONE
    assert (await store.settle(again, user, 20, Outcome.KEPT)).verdict is Verdict.DONE
    assert (await store.get(user)).used_bytes == 20
    assert await drift(pool) == []


async def test_g7_expired_holds_are_refunded_by_one_replica_whatever_races_with_it(
    credit_store: CreditStore, pool: Pool
) -> None:
    users = [new_id() for _ in range(3)]
    requests = [new_id() for _ in range(60)]
    for number, request in enumerate(requests):
        answer = await credit_store.hold(request, users[number % 3], 1, timedelta(seconds=60))
        assert answer.verdict is CreditVerdict.DONE
    async with pool.connection() as connection:
        await connection.execute("UPDATE holds SET expire_time = now() - interval '1 second'")
    async with asyncio.TaskGroup() as crowd:
        for number, request in enumerate(requests[:30]):
            crowd.create_task(credit_store.capture(request, users[number % 3]))
            crowd.create_task(credit_store.release(request, users[number % 3]))
        for _ in range(3):
            crowd.create_task(credit_store.refund_expired(20))
    await Ledger(credit_store).refund_expired()
    for user in users:
        assert (await credit_store.get(user))[0] == Credits(user, 1000, 0, 0)
        assert len(await credit_store.transactions(user, None, 100)) == 1 + 2 * 20
    assert await drift(pool) == []

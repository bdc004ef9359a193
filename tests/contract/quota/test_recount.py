"""Counting a user anew: the books against storage and against the ledger (G9)."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import pytest

from reelgate.common.v1.run_pb2 import Run
from reelgate.quota.v1 import quota_pb2
from services.kernel.errors import ResourceExhausted
from services.kernel.ids import new_id
from tests.contract.quota.running import NOT_KEPT, Caller, Callers, leased, new_run


@pytest.fixture
def user() -> UUID:
    return new_id()


@pytest.fixture
def gateway(callers: Callers, user: UUID) -> Caller:
    return callers.gateway_for(user)


async def kept(gateway: Caller, user: UUID, size: int) -> Run:
    run = new_run()
    await gateway.admit(run, user, size, 5)
    await gateway.settle(leased(run, 1), size)
    return run


async def recount(
    callers: Callers, user: UUID, found: Mapping[str, int], *, repair: bool = False, hours: int = 1
) -> quota_pb2.Recount:
    """By what storage holds of each generation, listed so many hours from now."""
    first = quota_pb2.ReconcileUserRequest(user_id=str(user), repair=repair)
    first.list_time.FromDatetime(datetime.now(UTC) + timedelta(hours=hours))
    parts = [
        quota_pb2.ReconcileUserRequest(
            runs=[quota_pb2.RunBytes(generation_id=generation, bytes=size)]
        )
        for generation, size in found.items()
    ]
    return await callers.admin.reconcile(first, *parts)


async def test_g9_books_that_are_right_show_no_drift(
    callers: Callers, gateway: Caller, user: UUID
) -> None:
    first, second = await kept(gateway, user, 100), await kept(gateway, user, 50)
    not_kept, open_run, gone = new_run(), new_run(), new_run()
    await gateway.admit(not_kept, user, 10, 5)
    await gateway.settle(not_kept, 0, NOT_KEPT)
    await gateway.admit(open_run, user, 70, 5)
    await gateway.admit(gone, user, 10, 5)
    await gateway.release(gone)
    await gateway.hold(new_id(), user, 11)

    found = {
        first.generation_id: 100,
        second.generation_id: 50,
        open_run.generation_id: 33,  # stored, not settled yet
        gone.generation_id: 4,  # to be removed
        not_kept.generation_id: 2,
        str(new_id()): 1,
    }
    counted = await recount(callers, user, found)

    assert not counted.drifted
    assert not counted.repaired
    assert (counted.recorded_used_bytes, counted.counted_used_bytes) == (150, 150)
    assert (counted.recorded_reserved_bytes, counted.counted_reserved_bytes) == (70, 70)
    assert counted.unaccounted_bytes == 7
    assert counted.recorded_balance == counted.ledger_balance == 1000 - 4 * 5 - 11
    assert counted.recorded_held == counted.ledger_held == counted.open_holds == 16
    assert counted.recorded_spent == counted.ledger_spent == 15


async def test_g9_bytes_that_storage_has_otherwise_are_told_and_put_right(
    callers: Callers, gateway: Caller, user: UUID
) -> None:
    right, wrong, gone = [await kept(gateway, user, size) for size in (100, 50, 7)]
    found = {right.generation_id: 100, wrong.generation_id: 60}

    told = await recount(callers, user, found)
    assert (told.drifted, told.repaired, told.run_count) == (True, False, 2)
    assert (told.recorded_used_bytes, told.counted_used_bytes) == (157, 160)
    assert (await gateway.get()).used_bytes == 157

    repaired = await recount(callers, user, found, repair=True)
    assert (repaired.drifted, repaired.repaired) == (True, True)
    assert {(run.generation_id, run.recorded_bytes, run.stored_bytes) for run in repaired.runs} == {
        (wrong.generation_id, 50, 60),
        (gone.generation_id, 7, 0),
    }
    assert (await gateway.get()).used_bytes == 160
    assert not (await recount(callers, user, found)).drifted
    assert (await gateway.release(leased(wrong, 1))).used_bytes == 100


async def test_g9_what_settled_while_storage_was_listed_is_no_drift(
    callers: Callers, gateway: Caller, user: UUID
) -> None:
    await kept(gateway, user, 100)
    counted = await recount(callers, user, {}, repair=True, hours=0)
    assert (counted.drifted, counted.counted_used_bytes) == (False, 100)
    assert (await gateway.get()).used_bytes == 100


async def test_g9_balances_are_recounted_from_the_ledger(
    callers: Callers, gateway: Caller, user: UUID, shared_books: str
) -> None:
    run = await kept(gateway, user, 100)
    async with await psycopg.AsyncConnection.connect(shared_books, autocommit=True) as connection:
        await connection.execute(
            "UPDATE subjects SET balance = balance + 7, spent = spent + 1, reserved_bytes = 3 WHERE user_id = %s",
            (user,),
        )
    found = {run.generation_id: 100}
    counted = await recount(callers, user, found, repair=True)
    assert (counted.drifted, counted.repaired) == (True, True)
    assert (counted.recorded_balance, counted.ledger_balance) == (1002, 995)
    assert (counted.recorded_spent, counted.ledger_spent) == (6, 5)
    assert (await gateway.credits()).balance == 995
    assert (await gateway.get()).reserved_bytes == 0
    assert not (await recount(callers, user, found)).drifted


async def test_g9_where_ledger_and_open_runs_contradict_a_person_must_look(
    callers: Callers, gateway: Caller, user: UUID, shared_books: str
) -> None:
    await gateway.admit(new_run(), user, 0, 30)
    async with await psycopg.AsyncConnection.connect(shared_books, autocommit=True) as connection:
        await connection.execute(
            "UPDATE reservations SET held_credits = 29 WHERE user_id = %s", (user,)
        )
    counted = await recount(callers, user, {}, repair=True)
    assert (counted.drifted, counted.repaired) == (True, False)
    assert (counted.ledger_held, counted.open_holds) == (30, 29)


async def test_several_results_of_one_run_are_added_up(
    callers: Callers, gateway: Caller, user: UUID
) -> None:
    run = await kept(gateway, user, 100)
    request = quota_pb2.ReconcileUserRequest(user_id=str(user))
    request.list_time.FromDatetime(datetime.now(UTC) + timedelta(hours=1))
    for size in (70, 30):
        request.runs.add(generation_id=run.generation_id, bytes=size)
    assert not (await gateway.reconcile(request)).drifted


async def test_a_user_nobody_knows_has_nothing_and_is_not_made(
    callers: Callers, user: UUID
) -> None:
    counted = await recount(callers, user, {str(new_id()): 9}, repair=True)
    assert not counted.drifted
    assert counted.unaccounted_bytes == 9
    assert (counted.user_id, counted.recorded_used_bytes) == (str(user), 0)


async def test_more_than_a_million_runs_are_refused(callers: Callers, user: UUID) -> None:
    runs = [quota_pb2.RunBytes(generation_id=str(user), bytes=1)] * 10_000
    request = quota_pb2.ReconcileUserRequest(user_id=str(user), runs=runs)
    request.list_time.FromDatetime(datetime.now(UTC))
    with pytest.raises(ResourceExhausted):
        await callers.admin.reconcile(*[request] * 101)


async def test_g9_counting_waits_for_nobody(
    callers: Callers, gateway: Caller, user: UUID, shared_books: str
) -> None:
    run = await kept(gateway, user, 100)
    async with await psycopg.AsyncConnection.connect(shared_books) as connection:
        await connection.execute("SELECT 1 FROM subjects WHERE user_id = %s FOR UPDATE", (user,))
        async with asyncio.timeout(5):
            counted = await recount(callers, user, {run.generation_id: 100})
    assert not counted.drifted


async def test_g9_counting_in_the_midst_of_work_sees_one_moment(
    callers: Callers, gateway: Caller, user: UUID
) -> None:
    async def work() -> None:
        for number in range(60):
            run = new_run()
            await gateway.admit(run, user, 10, 1)
            if number % 3:
                await gateway.settle(leased(run, 1), 10)
            else:
                await gateway.release(leased(run, 1))

    working = asyncio.gather(*(work() for _ in range(4)))
    counts = 0
    while not working.done():
        counted = await recount(callers, user, {}, hours=-1)
        assert not counted.drifted, counted
        counts += 1
    await working
    assert counts > 5

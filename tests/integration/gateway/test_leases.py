"""Leases and fencing: whoever lost the right to act changes nothing (invariants 1, 3 and 6)."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from services.gateway.generations import Lease, LeaseLost
from services.gateway.store.generations import GenerationStore
from services.gateway.store.leases import LeaseStore, NoAccountFree
from services.kernel.postgres import Pool
from tests.integration.gateway.conftest import add_account, wanted

DIALECTS = ("scripted",)


async def _queued(store: GenerationStore, owner: UUID) -> UUID:
    new = wanted(owner)
    await store.create(new, None)
    await store.admitted(new.id, owner)
    return new.id


async def _expire(pool: Pool) -> None:
    async with pool.connection() as connection:
        await connection.execute("UPDATE generations SET lease_until = now() - interval '1 second'")


async def _row(pool: Pool) -> tuple[object, ...]:
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT * FROM generations")
        row = await cursor.fetchone()
        assert row is not None
        return row


async def test_of_many_workers_one_gets_the_lease(
    store: GenerationStore, leases: LeaseStore, owner: UUID
) -> None:
    for _ in range(20):
        made = await _queued(store, owner)
        claims = await asyncio.gather(*(leases.claim(10, 30) for _ in range(10)))
        assert [lease.generation.id for claim in claims for lease in claim] == [made]
        await store.cancel(made, owner)
        for lease in await leases.claim(10, 30):
            await leases.nothing_owed(lease)


async def test_a_lease_that_ran_out_is_claimed_with_a_higher_token(
    store: GenerationStore, leases: LeaseStore, pool: Pool, owner: UUID
) -> None:
    await _queued(store, owner)
    (first,) = await leases.claim(1, 30)
    assert await leases.claim(1, 30) == []
    await _expire(pool)
    assert await leases.renew({first.generation.id: first.token}, 30) == set()
    (second,) = await leases.claim(1, 30)
    assert second.token == first.token + 1


MOVES: dict[str, Callable[[LeaseStore, Lease], Awaitable[object]]] = {
    "begin_attempt": lambda leases, lease: leases.begin_attempt(lease, DIALECTS, ()),
    "submit_again": lambda leases, lease: leases.submit_again(lease),
    "requeue": lambda leases, lease: leases.requeue(lease),
    "accepted": lambda leases, lease: leases.accepted(lease),
    "unknown": lambda leases, lease: leases.unknown(lease),
    "progress": lambda leases, lease: leases.progress(lease, 50),
    "storing": lambda leases, lease: leases.storing(lease, lease.generation.id, [("u", None)]),
    "stored": lambda leases, lease: leases.stored(lease, "s3", 5, None),
    "complete": lambda leases, lease: leases.complete(lease, expires_at=None),
    "fail": lambda leases, lease: leases.fail(lease, "upstream_error"),
}
GIVE_BACKS: dict[str, Callable[[LeaseStore, Lease], Awaitable[object]]] = {
    "look_again": lambda leases, lease: leases.look_again(lease, 0),
    "nothing_owed": lambda leases, lease: leases.nothing_owed(lease),
    "remove": lambda leases, lease: leases.remove(lease),
}
STAGES = ("queued", "submitting", "unknown", "generating", "storing", "stored")


@pytest.mark.parametrize("move", MOVES)
async def test_a_worker_that_woke_up_past_its_lease_moves_nothing(
    move: str, store: GenerationStore, leases: LeaseStore, pool: Pool, owner: UUID
) -> None:
    await add_account(pool)
    await _queued(store, owner)
    (asleep,) = await leases.claim(1, 30)
    await _expire(pool)
    with pytest.raises(LeaseLost):  # nobody has claimed it yet: expired is expired
        await MOVES[move](leases, asleep)
    await leases.claim(1, 30)
    for stage in STAGES:
        async with pool.connection() as connection:
            await connection.execute("UPDATE generations SET stage = %s", (stage,))
        before = await _row(pool)
        with pytest.raises(LeaseLost):
            await MOVES[move](leases, asleep)
        assert await _row(pool) == before


@pytest.mark.parametrize("give_back", GIVE_BACKS)
async def test_a_worker_that_woke_up_past_its_lease_gives_nothing_back(
    give_back: str, store: GenerationStore, leases: LeaseStore, pool: Pool, owner: UUID
) -> None:
    await _queued(store, owner)
    (asleep,) = await leases.claim(1, 30)
    await _expire(pool)
    await leases.claim(1, 30)
    before = await _row(pool)
    await GIVE_BACKS[give_back](leases, asleep)
    assert await _row(pool) == before


@pytest.mark.parametrize("move", MOVES)
async def test_what_its_owner_ended_moves_no_more(
    move: str, store: GenerationStore, leases: LeaseStore, pool: Pool, owner: UUID
) -> None:
    await add_account(pool)
    made = await _queued(store, owner)
    await store.cancel(made, owner)
    (cleaning,) = await leases.claim(1, 30)
    with pytest.raises(LeaseLost):
        await MOVES[move](leases, cleaning)


async def test_the_upstreams_id_is_written_once_and_without_a_lease(
    store: GenerationStore, leases: LeaseStore, pool: Pool, owner: UUID
) -> None:
    await add_account(pool)
    made = await _queued(store, owner)
    (lease,) = await leases.claim(1, 30)
    lease, attempt = await leases.begin_attempt(lease, DIALECTS, ())
    await store.cancel(made, owner)
    await leases.record_task(lease.generation, attempt, "first")
    await leases.record_task(lease.generation, attempt, "second")
    ((recorded, state),) = await leases.attempts(lease.generation)
    assert (recorded.upstream_task_id, state) == ("first", "open")


async def test_b4_the_highest_priority_then_the_longest_unused_account_is_chosen(
    store: GenerationStore, leases: LeaseStore, pool: Pool, owner: UUID
) -> None:
    low = await add_account(pool, "low", priority=1)
    one, two = (
        await add_account(pool, "one", priority=5),
        await add_account(pool, "two", priority=5),
    )
    chosen = []
    for _ in range(4):
        made = await _queued(store, owner)
        (lease,) = await leases.claim(1, 30)
        _, attempt = await leases.begin_attempt(lease, DIALECTS, ())
        chosen.append(attempt.account_id)
        await store.cancel(made, owner)
        for cleaning in await leases.claim(5, 30):
            await leases.nothing_owed(cleaning)
    assert set(chosen[:2]) == {one, two}
    assert chosen[2:] == chosen[:2]
    await _queued(store, owner)
    (lease,) = await leases.claim(1, 30)
    _, attempt = await leases.begin_attempt(lease, DIALECTS, (one, two))
    assert attempt.account_id == low


async def test_b4_a_resting_account_is_used_only_when_there_is_no_other(
    store: GenerationStore, leases: LeaseStore, pool: Pool, owner: UUID
) -> None:
    resting = await add_account(pool, "resting", priority=9)
    async with pool.connection() as connection:
        await connection.execute("UPDATE accounts SET cooldown_until = now() + interval '1 hour'")
    await _queued(store, owner)
    (lease,) = await leases.claim(1, 30)
    lease, attempt = await leases.begin_attempt(lease, DIALECTS, ())
    assert attempt.account_id == resting
    rested = await add_account(pool, "rested")
    await _queued(store, owner)
    (lease,) = await leases.claim(1, 30)
    _, attempt = await leases.begin_attempt(lease, DIALECTS, ())
    assert attempt.account_id == rested


async def test_b5_the_limit_of_an_account_holds_under_concurrency(
    store: GenerationStore, leases: LeaseStore, pool: Pool, owner: UUID
) -> None:
    await add_account(pool, concurrency_limit=2)
    for _ in range(3):
        await _queued(store, owner)
    held = await leases.claim(3, 30)
    outcomes = await asyncio.gather(
        *(leases.begin_attempt(lease, DIALECTS, ()) for lease in held), return_exceptions=True
    )
    assert sum(isinstance(outcome, NoAccountFree) for outcome in outcomes) == 1
    waiting = [
        lease
        for lease, outcome in zip(held, outcomes, strict=True)
        if isinstance(outcome, NoAccountFree)
    ]
    assert (await store.get(waiting[0].generation.id, owner)).stage == "queued"


@pytest.mark.parametrize(
    "columns",
    [{"status": "disabled"}, {"status": "error"}, {"models": ["another"]}, {"dialect": "other"}],
)
async def test_b1_an_account_that_may_not_serve_the_model_is_not_chosen(
    columns: dict[str, Any], store: GenerationStore, leases: LeaseStore, pool: Pool, owner: UUID
) -> None:
    await add_account(pool, **columns)
    await _queued(store, owner)
    (lease,) = await leases.claim(1, 30)
    with pytest.raises(NoAccountFree):
        await leases.begin_attempt(lease, DIALECTS, ())
    assert await leases.attempts(lease.generation) == []

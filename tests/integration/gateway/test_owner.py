"""Generations as their owner makes, sees and ends them (D1, D3, D4, D14, D15)."""

import asyncio
from uuid import UUID

import pytest

from services.gateway.generations import MAX_ACTIVE_PER_USER
from services.gateway.store.generations import Filter, GenerationStore, IdempotencyKey
from services.gateway.store.leases import LeaseStore
from services.kernel.errors import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    NotFound,
    ResourceExhausted,
    Unauthenticated,
)
from services.kernel.ids import new_id
from services.kernel.postgres import Pool
from tests.integration.gateway.conftest import add_user, wanted

DIGEST = b"d" * 32


async def _made(store: GenerationStore, owner: UUID, **changes: object) -> UUID:
    new = wanted(owner, **changes)
    assert await store.create(new, None) is None
    await store.admitted(new.id, owner)
    return new.id


async def test_d3_of_thirty_requests_at_once_exactly_three_are_accepted(
    store: GenerationStore, owner: UUID
) -> None:
    async def ask() -> bool:
        try:
            await _made(store, owner)
        except ResourceExhausted as refusal:
            assert refusal.reason == "CONCURRENCY_LIMIT_EXCEEDED"
            assert refusal.retry_after
            return False
        return True

    for _ in range(10):
        accepted = await asyncio.gather(*(ask() for _ in range(30)))
        assert sum(accepted) == MAX_ACTIVE_PER_USER
        for generation in await store.page(Filter(owner), before=None, limit=100):
            if generation.is_active:
                await store.cancel(generation.id, owner)


async def test_d3_the_limit_of_one_user_is_not_that_of_another(
    store: GenerationStore, pool: Pool, owner: UUID
) -> None:
    other = await add_user(pool)
    for user in (owner, other):
        for _ in range(MAX_ACTIVE_PER_USER):
            await _made(store, user)


async def test_a_user_who_is_gone_or_disabled_makes_nothing(
    store: GenerationStore, pool: Pool, owner: UUID
) -> None:
    with pytest.raises(Unauthenticated):
        await store.create(wanted(new_id()), None)
    async with pool.connection() as connection:
        await connection.execute("UPDATE users SET disabled = true")
    with pytest.raises(Unauthenticated):
        await store.create(wanted(owner), None)


async def test_d15_of_fifty_requests_with_one_key_one_makes_a_generation(
    store: GenerationStore, owner: UUID
) -> None:
    made: list[UUID] = []

    async def ask(key: IdempotencyKey) -> UUID | None:
        new = wanted(owner)
        try:
            earlier = await store.create(new, key)
        except Aborted as busy:
            assert busy.reason == "IDEMPOTENCY_KEY_BUSY"
            return None
        if earlier is not None:
            return earlier
        made.append(new.id)
        await store.admitted(new.id, owner)
        return new.id

    for burst in range(20):
        made.clear()
        key = IdempotencyKey(f"burst-{burst}", DIGEST)
        answers = await asyncio.gather(*(ask(key) for _ in range(50)))
        assert len(made) == 1
        assert {answer for answer in answers if answer is not None} == set(made)
        await store.cancel(made[0], owner)


async def test_d15_a_key_with_another_body_is_refused_and_a_withdrawn_request_frees_it(
    store: GenerationStore, owner: UUID
) -> None:
    new, key = wanted(owner), IdempotencyKey("once", DIGEST)
    assert await store.create(new, key) is None
    with pytest.raises(Aborted):
        await store.create(wanted(owner), key)
    with pytest.raises(AlreadyExists) as reused:
        await store.create(wanted(owner), IdempotencyKey("once", b"e" * 32))
    assert reused.value.reason == "IDEMPOTENCY_KEY_REUSED"
    await store.withdraw(new.id, owner)
    assert await store.create(wanted(owner), IdempotencyKey("once", b"e" * 32)) is None


async def test_d15_the_same_key_of_another_user_is_another_key(
    store: GenerationStore, pool: Pool, owner: UUID
) -> None:
    key = IdempotencyKey("same", DIGEST)
    assert await store.create(wanted(owner), key) is None
    assert await store.create(wanted(await add_user(pool)), key) is None


async def test_what_is_not_admitted_is_shown_to_nobody(store: GenerationStore, owner: UUID) -> None:
    new = wanted(owner)
    await store.create(new, None)
    assert await store.page(Filter(owner), before=None, limit=10) == []
    assert (await store.changes(owner, 0)).generations == []


async def test_d4_somebody_elses_is_not_found(
    store: GenerationStore, pool: Pool, owner: UUID
) -> None:
    made, other = await _made(store, owner), await add_user(pool)
    for denied in (store.get, store.cancel, store.delete):
        with pytest.raises(NotFound):
            await denied(made, other)
    assert (await store.get(made, owner)).status == "pending"


async def test_d4_lists_are_newest_first_in_pages_and_narrowed(
    store: GenerationStore, pool: Pool, owner: UUID
) -> None:
    made = []
    for number in range(7):
        kind = {"media_type": "image", "duration_seconds": None} if number % 2 else {}
        made.append(await _made(store, owner, prompt=f"Boat {number} 纸船", **kind))
        await store.cancel(made[-1], owner)
    newest_first = made[::-1]
    first = await store.page(Filter(owner), before=None, limit=3)
    rest = await store.page(Filter(owner), before=first[-1].id, limit=10)
    assert [generation.id for generation in (*first, *rest)] == newest_first
    assert await store.count(Filter(owner)) == (7, 4, 3)
    assert await store.count(Filter(owner, media_types=["image"])) == (3, 4, 3)
    found = await store.page(Filter(owner, query="boat 3 纸"), before=None, limit=10)
    assert [generation.id for generation in found] == [made[3]]
    assert await store.page(Filter(owner, query="100%_"), before=None, limit=10) == []
    assert await store.page(Filter(owner, statuses=["completed"]), before=None, limit=10) == []
    assert len(await store.page(Filter(None), before=None, limit=10)) == 7


async def test_d4_cancel_ends_it_once_and_takes_the_lease_away(
    store: GenerationStore, leases: LeaseStore, owner: UUID
) -> None:
    made = await _made(store, owner)
    (lease,) = await leases.claim(10, 30)
    cancelled = await store.cancel(made, owner)
    assert cancelled.status == "cancelled"
    assert await leases.renew({made: lease.token}, 30) == set()
    with pytest.raises(FailedPrecondition) as refusal:
        await store.cancel(made, owner)
    assert refusal.value.reason == "ALREADY_ENDED"
    (cleaning,) = await leases.claim(10, 30)
    assert cleaning.token > lease.token


async def test_d4_delete_hides_at_once_and_is_not_found_twice(
    store: GenerationStore, owner: UUID
) -> None:
    made = await _made(store, owner)
    await store.delete(made, owner)
    with pytest.raises(NotFound):
        await store.get(made, owner)
    with pytest.raises(NotFound):
        await store.delete(made, owner)
    assert await store.exists(made)  # until the worker has erased what belongs to it


async def test_d14_a_watcher_sees_every_change_in_order_and_nothing_twice(
    store: GenerationStore, owner: UUID
) -> None:
    seen: dict[UUID, str] = {}
    rev, stop = 0, asyncio.Event()

    async def watch() -> None:
        nonlocal rev
        while True:
            last_look = stop.is_set()
            changes = await store.changes(owner, rev)
            assert not changes.reset
            revs = [generation.rev for generation in changes.generations]
            revs += [gone for _, gone in changes.deleted]
            assert all(rev < changed <= changes.rev for changed in revs)
            assert len(set(revs)) == len(revs)
            for generation in changes.generations:
                seen[generation.id] = generation.status
            for generation_id, _ in changes.deleted:
                seen[generation_id] = "deleted"
            rev = changes.rev
            if last_look:
                return

    async def live(number: int) -> tuple[UUID, str]:
        made: UUID | None = None
        while made is None:
            try:
                made = await _made(store, owner)
            except ResourceExhausted:
                await asyncio.sleep(0.005)
        await store.cancel(made, owner)
        if number % 2:
            await store.delete(made, owner)
        return made, "deleted" if number % 2 else "cancelled"

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(watch())
        lives = await asyncio.gather(*(live(number) for number in range(40)))
        stop.set()
    assert {made: seen[made] for made, _ in lives} == dict(lives)


async def test_d14_a_watcher_who_saw_too_little_or_too_much_starts_anew(
    store: GenerationStore, pool: Pool, owner: UUID
) -> None:
    made = await _made(store, owner)
    await store.delete(await _made(store, owner), owner)
    now = (await store.changes(owner, 0)).rev
    assert (await store.changes(owner, now + 1)).reset
    async with pool.connection() as connection:
        await connection.execute(
            "UPDATE deleted_generations SET deleted_at = now() - interval '8 days'"
        )
    await store.forget_old()
    anew = await store.changes(owner, 1)
    assert anew.reset
    assert [generation.id for generation in anew.generations] == [made]
    assert not (await store.changes(owner, now)).reset


async def test_an_admission_that_was_given_up_is_not_queued(
    store: GenerationStore, leases: LeaseStore, pool: Pool, owner: UUID
) -> None:
    new = wanted(owner)
    await store.create(new, None)
    async with pool.connection() as connection:
        await connection.execute("UPDATE generations SET next_run_at = now()")
    (lease,) = await leases.claim(1, 30)
    assert lease.generation.stage == "admitting"
    with pytest.raises(Aborted):
        await store.admitted(new.id, owner)

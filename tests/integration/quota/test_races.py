"""Many at once on the same rows: never a byte or a credit over, one outcome for each run (G2, G3, G7).

The races that are tried thousands of times are in tests/faults/quota.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import psycopg
import pytest

from services.kernel.errors import Unavailable
from services.kernel.ids import new_id
from services.kernel.postgres import Pool
from tests.contract.quota.running import Callers, Keys, leased, new_run, quota_server, verdict
from tests.integration.quota.books import drift

_WAIT_BEFORE_SUBJECTS_CHANGE = """
CREATE FUNCTION wait_here() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(4711);
    RETURN NEW;
END
$$;
CREATE TRIGGER wait_here BEFORE UPDATE ON subjects FOR EACH ROW EXECUTE FUNCTION wait_here();
"""


@pytest.fixture
async def replicas(books: str, keys: Keys) -> AsyncIterator[list[Callers]]:
    """Two servers, each with connections of its own, on the same books."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(quota_server(books, keys)) for _ in range(2)]


@pytest.mark.parametrize("limited", ["user", "group", "default"])
async def test_g2_of_200_at_once_exactly_those_that_fit_are_admitted(
    replicas: list[Callers], pool: Pool, limited: str
) -> None:
    for _ in range(2):
        user, group = new_id(), new_id()
        size = random.randint(1, 100)
        limit = random.randint(0, 40) * size + random.randint(1, size)
        admin = replicas[0].admin
        gateways = [replica.gateway_for(user) for replica in replicas]
        match limited:
            case "user":
                await admin.limit_user(user, limit)
            case "group":
                await gateways[0].set_subject(user, group, 1)
                await admin.limit_group(group, limit)
            case _:
                await admin.limit_default(limit)

        said = await asyncio.gather(
            *(verdict(gateways[i % 2].admit(new_run(), user, size)) for i in range(200))
        )

        fitting = limit // size
        assert Counter(said) == Counter(ok=fitting, QUOTA_EXCEEDED=200 - fitting)
        quota = await admin.get(user)
        assert quota.used_bytes + quota.reserved_bytes == fitting * size <= limit
    assert await drift(pool) == []


async def test_g3_one_run_admitted_by_everyone_at_once_is_reserved_once(
    replicas: list[Callers],
) -> None:
    for _ in range(10):
        user, run = new_id(), new_run()
        gateways = [replica.gateway_for(user) for replica in replicas]
        answers = await asyncio.gather(*(gateways[i % 2].admit(run, user, 7) for i in range(20)))
        assert sum(not answer.replayed for answer in answers) == 1
        assert {answer.quota.reserved_bytes for answer in answers} == {7}


async def test_one_run_claimed_by_two_users_at_once_belongs_to_one(
    replicas: list[Callers], pool: Pool
) -> None:
    for _ in range(25):
        users, run = [new_id(), new_id()], new_run()
        said = await asyncio.gather(
            *(
                verdict(replica.gateway_for(user).admit(run, user, 7))
                for replica, user in zip(replicas, users, strict=True)
            )
        )
        assert sorted(said) == ["RUN_MISMATCH", "ok"]
        reserved = [(await replicas[0].admin.get(user)).reserved_bytes for user in users]
        assert sorted(reserved) == [0, 7]
    assert await drift(pool) == []


async def test_g3_admit_and_release_racing_leave_nothing_reserved(
    replicas: list[Callers], pool: Pool
) -> None:
    user = new_id()
    first, second = (replica.gateway_for(user) for replica in replicas)

    async def race() -> None:
        run = new_run()
        said = await asyncio.gather(
            verdict(first.admit(run, user, 10)), verdict(second.release(run, user))
        )
        assert said[0] in ("ok", "RUN_ENDED")
        assert said[1] == "ok"

    await asyncio.gather(*(race() for _ in range(200)))
    assert (await replicas[0].admin.get(user)).reserved_bytes == 0
    assert await drift(pool) == []


async def test_g1_while_the_limit_changes_nobody_gets_over_the_one_in_force(
    replicas: list[Callers], pool: Pool
) -> None:
    """After a limit is lowered to what is held, not one more admission succeeds."""
    user, group = new_id(), new_id()
    first, second = (replica.gateway_for(user) for replica in replicas)
    await first.set_subject(user, group, 1)
    admin = replicas[0].admin
    await admin.limit_group(group, 10**6)
    stop = asyncio.Event()
    admitted_after_stop = 0

    async def admit_for_ever(gateway_number: int) -> None:
        nonlocal admitted_after_stop
        gateway = (first, second)[gateway_number]
        while not stop.is_set():
            begun_after = lowered.is_set()
            if await verdict(gateway.admit(new_run(), user, 1)) == "ok" and begun_after:
                admitted_after_stop += 1

    lowered = asyncio.Event()
    async with asyncio.TaskGroup() as group_of_tasks:
        for number in range(8):
            group_of_tasks.create_task(admit_for_ever(number % 2))
        while (await admin.get(user)).reserved_bytes < 20:
            await asyncio.sleep(0.01)
        await admin.limit_group(group, 1)
        lowered.set()
        held = (await admin.get(user)).reserved_bytes
        await asyncio.sleep(0.3)
        stop.set()
    assert held >= 20
    assert admitted_after_stop == 0
    assert await drift(pool) == []


async def test_a_random_crowd_never_gets_over_and_adds_up(
    replicas: list[Callers], pool: Pool
) -> None:
    users = [new_id() for _ in range(3)]
    limit = 500
    for user in users:
        await replicas[0].admin.limit_user(user, limit)

    async def live(number: int) -> None:
        chance = random.Random(number)
        user = chance.choice(users)
        gateway = chance.choice(replicas).gateway_for(user)
        for _ in range(8):
            run, reserve, price = new_run(), chance.randint(0, 60), chance.randint(0, 90)
            if await verdict(gateway.admit(run, user, reserve, price)) != "ok":
                continue
            held = leased(run, chance.randint(0, 2))
            if chance.random() < 0.7:
                await verdict(gateway.settle(held, chance.randint(0, 70)))
            if chance.random() < 0.6:
                await verdict(gateway.release(held))
            quota = await gateway.get()
            assert quota.used_bytes + quota.reserved_bytes <= limit

    async with asyncio.TaskGroup() as crowd:
        for number in range(50):
            crowd.create_task(live(number))
    assert await drift(pool) == []


async def test_a_connection_killed_in_the_middle_leaves_nothing_half_done(
    replicas: list[Callers], books: str, pool: Pool
) -> None:
    user = new_id()
    gateway = replicas[0].gateway_for(user)
    run = new_run()
    await gateway.admit(run, user, 10)
    before = await gateway.get()
    # Settle changes the reservation, then the user's row: between the two it is made to wait.
    async with await psycopg.AsyncConnection.connect(books) as blocker:
        await blocker.execute(_WAIT_BEFORE_SUBJECTS_CHANGE)
        await blocker.commit()
        await blocker.execute("SELECT pg_advisory_xact_lock(4711)")
        waiting = asyncio.create_task(gateway.settle(leased(run, 1), 10))
        async with await psycopg.AsyncConnection.connect(books, autocommit=True) as killer:
            killed = False
            while not killed:
                await asyncio.sleep(0.02)
                cursor = await killer.execute(
                    """
                    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                    WHERE wait_event = 'advisory' AND query LIKE '%settle(%'
                    """
                )
                killed = await cursor.fetchone() is not None
        with pytest.raises(Unavailable):
            await waiting
        await blocker.rollback()

    assert await gateway.get() == before
    quota = await gateway.settle(leased(run, 1), 10)
    assert (quota.used_bytes, quota.reserved_bytes) == (10, 0)
    assert await drift(pool) == []


async def test_a_caller_who_goes_away_leaves_nothing_half_done(
    replicas: list[Callers], books: str, pool: Pool
) -> None:
    user = new_id()
    gateway = replicas[0].gateway_for(user)
    await replicas[0].admin.limit_user(user, 10)
    async with await psycopg.AsyncConnection.connect(books) as blocker:
        await blocker.execute("SELECT 1 FROM subjects WHERE user_id = %s FOR UPDATE", (user,))
        calls = [asyncio.create_task(gateway.admit(new_run(), user, 10)) for _ in range(10)]
        await asyncio.sleep(0.2)
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)
        await blocker.rollback()
    assert await drift(pool) == []
    said = await verdict(gateway.admit(new_run(), user, 10))
    reserved = (await gateway.get()).reserved_bytes
    assert said in ("ok", "QUOTA_EXCEEDED")
    assert reserved == 10


async def test_g7_one_request_held_captured_and_released_by_everyone_at_once_ends_once(
    replicas: list[Callers], pool: Pool
) -> None:
    user = new_id()
    first, second = (replica.gateway_for(user) for replica in replicas)
    for _ in range(25):
        request = new_id()
        said = await asyncio.gather(
            *(verdict(gateway.hold(request, user, 5)) for gateway in (first, second)),
            *(verdict(gateway.capture(request)) for gateway in (first, second) * 2),
            *(verdict(gateway.release_hold(request)) for gateway in (first, second) * 2),
        )
        assert set(said) <= {"ok", "HOLD_ENDED", "HOLD_CAPTURED", "NOT_FOUND"}
        assert (await first.credits()).held == 0
    assert await drift(pool) == []


async def test_g8_one_grant_made_by_everyone_at_once_is_given_once(
    replicas: list[Callers], pool: Pool
) -> None:
    for _ in range(20):
        user, request = new_id(), new_id()
        await asyncio.gather(
            *(replicas[i % 2].gateway_for(user).grant(user, 5, "once", request) for i in range(10))
        )
        assert (await replicas[0].admin.credits(user)).balance == 1005
    assert await drift(pool) == []

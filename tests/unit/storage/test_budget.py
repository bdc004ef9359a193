"""E4: buffers are lent first come first served, never more than there are, and none is lost."""

import asyncio
import random
from weakref import WeakSet

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.storage.transfer import budget as budget_module
from services.storage.transfer.budget import Budget, Buffer, Lane

SIZE = 4096


async def test_who_comes_first_is_served_first() -> None:
    budget = Budget(2 * SIZE, SIZE)
    held = [await budget.take(SIZE) for _ in range(2)]
    order: list[int] = []

    async def want(number: int) -> None:
        buffer = await budget.take(SIZE)
        order.append(number)
        budget.give_back(buffer, reusable=True)

    waiting = [asyncio.create_task(want(number)) for number in range(5)]
    await asyncio.sleep(0)
    assert order == []
    for buffer in held:
        budget.give_back(buffer, reusable=False)
    await asyncio.gather(*waiting)
    assert order == list(range(5))


async def test_nobody_overtakes_a_large_request() -> None:
    budget = Budget(4 * SIZE, SIZE)
    held = [await budget.take(SIZE) for _ in range(3)]
    large = asyncio.create_task(budget.take(3 * SIZE))
    await asyncio.sleep(0)
    small = asyncio.create_task(budget.take(SIZE))  # would fit at once
    await asyncio.sleep(0)
    assert not small.done()
    for buffer in held[:2]:
        budget.give_back(buffer, reusable=True)
        await asyncio.sleep(0)
    assert (large.done(), small.done()) == (True, False)
    budget.give_back(held[2], reusable=True)
    assert ((await large).size, (await small).size) == (3 * SIZE, SIZE)


async def test_a_large_request_that_goes_away_lets_the_next_ones_through() -> None:
    budget = Budget(4 * SIZE, SIZE)
    await budget.take(2 * SIZE)
    large = asyncio.create_task(budget.take(4 * SIZE))
    await asyncio.sleep(0)
    small = [asyncio.create_task(budget.take(SIZE)) for _ in range(2)]
    await asyncio.sleep(0)
    large.cancel()
    async with asyncio.timeout(1):
        await asyncio.gather(*small)


@pytest.mark.parametrize("size", [0, -1, SIZE + 1])
async def test_what_can_never_be_had_is_refused_at_once(size: int) -> None:
    with pytest.raises(ValueError, match="can not lend"):
        await Budget(SIZE, SIZE).take(size)


async def test_memory_that_the_system_refuses_is_not_lost_to_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(size: int) -> Buffer:
        raise OSError("no memory")

    budget = Budget(SIZE, SIZE)
    with monkeypatch.context() as patched:
        patched.setattr(budget_module, "Buffer", refuse)
        with pytest.raises(OSError, match="no memory"):
            await budget.take(SIZE)
    async with asyncio.timeout(1):
        await budget.take(SIZE)


TOTAL = 16
# Size, steps before it is asked for, steps it is held, and after how many steps its owner is cancelled.
LOANS = st.tuples(
    st.integers(1, TOTAL), st.integers(0, 9), st.integers(0, 9), st.none() | st.integers(0, 20)
)


@settings(max_examples=300, deadline=None)
@given(st.lists(LOANS, min_size=1, max_size=30), st.integers(1, TOTAL), st.integers(0, 99))
async def test_e4_whatever_comes_and_goes_the_budget_holds(
    loans: list[tuple[int, int, int, int | None]], usual: int, seed: int
) -> None:
    chance = random.Random(seed)
    alive: WeakSet[Buffer] = WeakSet()

    class Watched(Buffer):
        def __init__(self, size: int) -> None:
            super().__init__(size)
            alive.add(self)
            assert sum(one.size for one in alive) <= TOTAL  # also those kept free

    budget = Budget(TOTAL, usual)
    asked: list[int] = []
    lent = 0

    async def steps(number: int) -> None:
        for _ in range(number):
            await asyncio.sleep(0)

    async def loan(number: int, size: int, before: int, during: int) -> None:
        nonlocal lent
        await steps(before)
        asked.append(number)
        try:
            buffer = await budget.take(size)
        except asyncio.CancelledError:
            asked.remove(number)
            raise
        # Whoever still waits came later.
        assert len(budget._waiting) <= len(asked) - asked.index(number) - 1
        lent += size
        assert lent <= TOTAL
        assert len(buffer.space) == buffer.size == size
        assert buffer.used == 0
        buffer.used = 1
        try:
            await steps(during)
        finally:
            lent -= size
            budget.give_back(buffer, reusable=chance.random() < 0.8)
            del buffer

    async def cancelled(task: asyncio.Task[None], after: int) -> None:
        await steps(after)
        task.cancel()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(budget_module, "Buffer", Watched)
        tasks = [asyncio.create_task(loan(number, *each[:3])) for number, each in enumerate(loans)]
        ends = [
            asyncio.create_task(cancelled(task, each[3]))
            for task, each in zip(tasks, loans, strict=True)
            if each[3] is not None
        ]
        async with asyncio.timeout(5):
            results = await asyncio.gather(*tasks, *ends, return_exceptions=True)
        strange = [one for one in results if one is not None]
        assert all(isinstance(one, asyncio.CancelledError) for one in strange), strange
        # And all of it is there again, in one piece.
        async with asyncio.timeout(1):
            budget.give_back(await budget.take(TOTAL), reusable=False)


async def test_whoever_goes_away_while_waiting_loses_no_buffer() -> None:
    budget = Budget(3 * SIZE, SIZE)
    chance = random.Random(1)
    out = 0

    async def transfer() -> None:
        nonlocal out
        async with Lane(budget, 2) as lane:
            for _ in range(chance.randrange(1, 5)):
                buffer = await lane.take(chance.randrange(1, 3 * SIZE))
                out += buffer.size
                assert out <= 3 * SIZE
                try:
                    await asyncio.sleep(chance.uniform(0, 0.002))
                finally:
                    out -= buffer.size
                    lane.done(buffer)

    async def impatient() -> None:
        try:
            async with asyncio.timeout(chance.uniform(0.0001, 0.01)):
                await transfer()
        except TimeoutError:
            pass

    await asyncio.gather(*(impatient() for _ in range(200)))
    # All three are back.
    async with asyncio.timeout(1):
        for _ in range(3):
            await budget.take(SIZE)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await budget.take(SIZE)


async def test_a_lane_holds_no_more_than_its_share_and_returns_all() -> None:
    budget = Budget(8 * SIZE, SIZE)
    async with Lane(budget, 2) as lane:
        await lane.take(SIZE)
        await lane.take(SIZE)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await lane.take(SIZE)
    async with asyncio.timeout(1):
        for _ in range(8):
            await budget.take(SIZE)

"""E4: buffers are lent first come first served, never more than there are, and none is lost."""

import asyncio
import random

import pytest

from services.storage.budget import Budget, Lane

SIZE = 4096


async def test_who_comes_first_is_served_first() -> None:
    budget = Budget(2 * SIZE, SIZE)
    held = [await budget.take() for _ in range(2)]
    order: list[int] = []

    async def want(number: int) -> None:
        buffer = await budget.take()
        order.append(number)
        budget.give_back(buffer, reusable=True)

    waiting = [asyncio.create_task(want(number)) for number in range(5)]
    await asyncio.sleep(0)
    assert order == []
    for buffer in held:
        budget.give_back(buffer, reusable=False)
    await asyncio.gather(*waiting)
    assert order == list(range(5))


async def test_whoever_goes_away_while_waiting_loses_no_buffer() -> None:
    budget = Budget(3 * SIZE, SIZE)
    chance = random.Random(1)
    out = 0

    async def transfer() -> None:
        nonlocal out
        async with Lane(budget, 2) as lane:
            for _ in range(chance.randrange(1, 5)):
                buffer = await lane.take()
                out += 1
                assert out <= 3
                try:
                    await asyncio.sleep(chance.uniform(0, 0.002))
                finally:
                    out -= 1
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
            await budget.take()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await budget.take()


async def test_a_lane_holds_no_more_than_its_share_and_returns_all() -> None:
    budget = Budget(8 * SIZE, SIZE)
    async with Lane(budget, 2) as lane:
        await lane.take()
        await lane.take()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await lane.take()
    async with asyncio.timeout(1):
        for _ in range(8):
            await budget.take()

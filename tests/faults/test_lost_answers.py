"""Answers that are lost and workers that sleep: nothing is done twice (D8, invariants 1 to 3)."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from deploy.local import ports
from tests.faults.product import Product

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_submit_whose_answer_was_lost_is_found_and_not_repeated(product: Product) -> None:
    await product.behave(submit_lost=1)
    made = await product.generate("the answer is lost")
    await product.until(made, "completed")
    assert len(await product.submits("the answer is lost")) == 1
    await product.delete(made)


async def test_a_worker_paused_past_its_lease_changes_nothing_when_it_wakes(
    product: Product,
) -> None:
    """The one that took over finishes; the sleeper wakes in the middle of each step and does no harm."""
    stack = product.stack
    for step, knobs in (
        ("submitting", {"submit_delay_seconds": 1}),
        ("generating", {"render_seconds": 1.5}),
        ("storing", {"content_bytes_per_second": 2000}),
    ):
        prompt = f"asleep while {step}"
        before = await product.quota()
        await product.behave(**knobs)
        made = await product.generate(prompt)
        await product.until(made, step)
        sleeper = stack.pid("gateway_worker")
        os.kill(sleeper, signal.SIGSTOP)
        try:
            async with _another_worker(product):
                record = await product.until(made, "completed")
                os.kill(sleeper, signal.SIGCONT)
                await asyncio.sleep(1.5)
                assert (await product.get(made))["rev"] == record["rev"]
        finally:
            os.kill(sleeper, signal.SIGCONT)
        assert len(await product.submits(prompt)) == 1
        await product.delete(made)
        assert await product.quota() == before


@asynccontextmanager
async def _another_worker(product: Product) -> AsyncIterator[None]:
    """A second worker with the settings of the first."""
    settings = (
        Path(f"/proc/{product.stack.pid('gateway_worker')}/environ").read_bytes().split(b"\0")
    )
    environment = dict(pair.decode().split("=", 1) for pair in settings if pair)
    environment["REELGATE_GATEWAY_ADMIN_LISTEN"] = f"127.0.0.1:{ports.choose()}"
    command = (sys.executable, "-m", "services.gateway", "worker")
    worker = await asyncio.create_subprocess_exec(
        *command, env=environment, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield
    finally:
        worker.terminate()
        await worker.wait()

"""kill -9 of each service at each step of a generation: it completes, once (A2, D2, invariants 1 to 4).

The studio holds the generation at the step; the service dies; when it is back, the work goes on. The studio saw one
submit, the kept bytes are the studio's, the books are right, and deleting leaves nothing.
"""

import asyncio
import hashlib
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.faults.product import Product

pytestmark = pytest.mark.asyncio(loop_scope="session")

VICTIMS = ("gateway_worker", "gateway", "storage", "quota")


@asynccontextmanager
async def _held_at(step: str, product: Product) -> AsyncIterator[tuple[str, str]]:
    """Makes the generation stay at `step` long enough; yields what to wait for and lets go at the end."""
    match step:
        case "queued":
            await product.stack.stop("gateway_worker")
            yield "queued", "gateway_worker"
            await product.stack.start("gateway_worker")
        case "submitting":
            await product.behave(submit_delay_seconds=2)
            yield "submitting", ""
        case "generating":
            await product.behave(render_seconds=3)
            yield "generating", ""
        case "storing":
            await product.behave(content_bytes_per_second=1500)
            yield "storing", ""
            await product.behave()
        case "stored":
            await product.behave(render_seconds=1)
            yield "stored", "quota"


@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.parametrize("step", ["queued", "submitting", "generating", "storing", "stored"])
async def test_a_service_killed_at_a_step_costs_nothing(
    step: str, victim: str, product: Product
) -> None:
    prompt = f"killing {victim} while {step}"
    before = await product.quota()
    async with _held_at(step, product) as (stage, held):
        made = await product.generate(prompt)
        if step == "stored":
            # It can only be seen there while it can not be settled.
            await product.until(made, "generating")
            await product.stack.stop("quota")
        await product.until(made, stage)
        if victim != held:
            product.stack.kill(victim, signal.SIGKILL)
        if step == "stored":
            await asyncio.sleep(0.5)
            await product.stack.start("quota")
    await product.stack.answering()

    record = await product.until(made, "completed")
    assert record["storage_type"] == "s3"
    assert len(await product.submits(prompt)) == 1
    kept = await product.read(record["media_url"])
    assert hashlib.sha256(kept).hexdigest() == await product.studio_digest(prompt)
    assert await product.quota() == (before[0] + len(kept), before[1])

    await product.delete(made)
    assert await product.quota() == before
    assert not [
        key for key in await product.bucket_keys() if record["media"][0]["object_id"] in key
    ]
    assert await product.multiparts() == []

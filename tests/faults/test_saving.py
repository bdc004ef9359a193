"""An upstream result is saved when S3 is back, whatever is killed meanwhile, or refused with a reason (D4, D6, G5)."""

import asyncio
import hashlib
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio

from deploy.local.stack import Stack
from reelgate.quota.v1 import quota_pb2, quota_pb2_grpc
from tests.faults.product import IMPATIENT, Product

pytestmark = pytest.mark.asyncio(loop_scope="session")

KILLS = [
    ("begun", "storage"),
    ("begun", "quota"),
    ("admitting", "gateway_worker"),
    ("admitting", "storage"),
    ("storing", "gateway_worker"),
    ("storing", "storage"),
    ("storing", "quota"),
    ("storing", "gateway"),
    ("settling", "gateway_worker"),
    ("settling", "storage"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def saver() -> AsyncIterator[Product]:
    """A user whose results only S3 may keep."""
    settings = {
        **IMPATIENT,
        "REELGATE_BFF_PORT": "0",
        "REELGATE_GATEWAY_PORT": "0",
        "REELGATE_STORAGE_LOCAL_ENABLED": "false",
    }
    with tempfile.TemporaryDirectory(prefix="reelgate-faults-") as home:
        async with Stack(Path(home), env=settings) as stack, Product.opened(stack) as product:
            await product.behave()
            yield product


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def results(saver: Product) -> list[tuple[str, str]]:
    """Prompts and ids of what was made while S3 was down: it lies at the studio."""
    await saver.stack.stop("s3")
    made: list[tuple[str, str]] = []
    for number in range(len(KILLS) + 3):
        prompt = f"lies at the studio, {number}"
        made.append((prompt, await saver.generate(prompt)))
        record = await saver.until(made[-1][1], "completed")
        assert (record["storage_type"], record["can_save"]) == ("upstream", True)
    assert await saver.quota() == (0, 0)
    await _is_refused(saver, made[0][1], 503, "storage_disabled")
    await saver.stack.start("s3")
    while not (await saver.call("GET", "/storage-status"))[1]["s3_healthy"]:
        await asyncio.sleep(0.2)
    return made


@pytest.fixture
def result(results: list[tuple[str, str]]) -> tuple[str, str]:
    """One of them."""
    return results.pop()


async def _save(product: Product, made: str) -> tuple[int, Any]:
    return await product.call("POST", f"/generations/{made}/save")


async def _is_refused(product: Product, made: str, status: int, code: str) -> None:
    answered, body = await _save(product, made)
    assert (answered, body["code"]) == (status, code), body
    record = await product.get(made)
    assert (record["status"], record["stage"]) == ("completed", "stored")
    assert (await product.quota())[1] == 0


async def _until_reserved(product: Product, before: tuple[int, int]) -> None:
    while await product.quota() == before:
        await asyncio.sleep(0.05)


@asynccontextmanager
async def _held_at(step: str, product: Product) -> AsyncIterator[asyncio.Event]:
    """A saving that begins in the block stays at `step` to its end; there it is when the event is set."""
    before, keys = await product.quota(), set(await product.bucket_keys())
    there = asyncio.Event()
    down = {"begun": "gateway_worker", "admitting": "quota", "settling": "quota"}.get(step)
    if step in {"begun", "admitting"}:
        await product.stack.stop(down or "")
    else:
        await product.behave(content_bytes_per_second=500)

    async def look() -> None:
        if step in {"storing", "settling"}:
            await _until_reserved(product, before)
        if step == "settling":
            await product.stack.stop("quota")
            while set(await product.bucket_keys()) == keys:
                await asyncio.sleep(0.05)
        await asyncio.sleep(0.3)
        there.set()

    looking = asyncio.create_task(look())
    try:
        yield there
        await looking
    finally:
        looking.cancel()
        await product.behave()
        if down is not None:
            await product.stack.start(down)


async def _until_kept(product: Product, made: str) -> dict[str, Any]:
    async with asyncio.timeout(40):
        while (record := await product.get(made))["stage"] != "stored":
            assert record["status"] == "completed"
            assert not record["can_save"]
            await asyncio.sleep(0.05)
    return record


@pytest.mark.parametrize(("step", "victim"), KILLS)
async def test_d4_a_service_killed_at_a_step_of_a_saving_costs_nothing(
    step: str, victim: str, result: tuple[str, str], saver: Product
) -> None:
    prompt, made = result
    before = await saver.quota()
    async with _held_at(step, saver) as there:
        saving = asyncio.create_task(_save(saver, made))
        await there.wait()
        assert not saving.done()
        record = await saver.get(made)
        assert (record["status"], record["stage"]) == ("completed", "storing")
        saver.stack.kill(victim, signal.SIGKILL)
        await saver.stack.answering(victim)
    status, body = await saving
    # Who loses the one that waits for him is told so; the saving goes on.
    assert status == 200 or (victim == "gateway" and status == 503), body

    record = await _until_kept(saver, made)
    assert (record["storage_type"], record["expires_at"]) == ("s3", None)
    kept = await saver.read(record["media_url"])
    assert hashlib.sha256(kept).hexdigest() == await saver.studio_digest(prompt)
    assert await saver.quota() == (before[0] + len(kept), before[1])
    assert len(await saver.submits(prompt)) == 1
    answered, refusal = await _save(saver, made)
    assert (answered, refusal["code"]) == (400, "not_upstream")

    await saver.delete(made)
    assert await saver.quota() == before
    assert not [key for key in await saver.bucket_keys() if record["media"][0]["object_id"] in key]
    assert await saver.multiparts() == []


async def test_d4_a_source_that_is_gone_is_said_and_the_room_given_back(
    result: tuple[str, str], saver: Product
) -> None:
    prompt, made = result
    before = await saver.quota()
    (submit,) = await saver.submits(prompt)
    await saver.studio("DELETE", f"/v1/videos/{submit['id']}")
    await _is_refused(saver, made, 502, "source_failed")
    assert (await saver.get(made))["can_save"]
    assert await saver.quota() == before
    await saver.delete(made)


async def test_d4_a_delete_in_the_middle_of_a_saving_leaves_nothing(
    result: tuple[str, str], saver: Product
) -> None:
    _, made = result
    before, keys = await saver.quota(), await saver.bucket_keys()
    async with _held_at("storing", saver) as there:
        saving = asyncio.create_task(_save(saver, made))
        await there.wait()
        await saver.delete(made)
        status, body = await saving
        assert status == 404, body
    assert await saver.quota() == before
    assert await saver.bucket_keys() == keys
    assert await saver.multiparts() == []


async def _limit(product: Product, quota_bytes: int) -> None:
    """Sets what the demo user, an administrator, may keep; 0 takes that back."""
    metadata = (("authorization", product.headers["Authorization"]),)
    async with grpc.aio.insecure_channel(product.stack.ready.grpc["quota"]) as channel:
        stub = quota_pb2_grpc.QuotaServiceStub(channel)
        me = (await stub.GetQuota(quota_pb2.GetQuotaRequest(), metadata=metadata)).quota.user_id
        request = quota_pb2.SetLimitsRequest(user_id=me, quota_bytes=quota_bytes)
        await stub.SetLimits(request, metadata=metadata)


async def test_g4_with_a_full_quota_it_is_refused_and_with_room_again_it_is_saved(
    result: tuple[str, str], saver: Product
) -> None:
    _, made = result
    before = await saver.quota()
    await _limit(saver, 1)
    try:
        await _is_refused(saver, made, 429, "quota_exceeded")
        assert await saver.quota() == before
    finally:
        await _limit(saver, 0)
    status, record = await _save(saver, made)
    assert (status, record["storage_type"], record["can_save"]) == (200, "s3", False)
    assert await saver.quota() == (before[0] + record["file_size_bytes"], before[1])
    await saver.delete(made)


async def test_d6_once_the_link_has_died_it_can_not_be_saved(saver: Product) -> None:
    await saver.stack.stop("s3")
    try:
        await saver.behave(expires_in_seconds=1)
        made = await saver.generate("lies at the studio for a second")
        await saver.until(made, "completed")
        while not (record := await saver.get(made))["expired"]:
            await asyncio.sleep(0.1)
        assert not record["can_save"]
        await _is_refused(saver, made, 410, "link_expired")
    finally:
        await saver.stack.start("s3")
    await saver.delete(made)

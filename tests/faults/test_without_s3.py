"""S3 is down or hangs, and the disk may not be used either: the work is kept where it can be (D2, D6, E8)."""

import asyncio
import hashlib
import os
import signal
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deploy.local import plan
from deploy.local.stack import Stack
from tests.faults.product import IMPATIENT, Product

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def _is_kept_on_disk(product: Product, prompt: str) -> None:
    before = await product.quota()
    made = await product.generate(prompt)
    record = await product.until(made, "completed")
    assert (record["storage_type"], record["notice"]["code"]) == ("local", "stored_locally")
    kept = await product.read(record["media_url"])
    assert hashlib.sha256(kept).hexdigest() == await product.studio_digest(prompt)
    assert await product.quota() == (before[0] + len(kept), before[1])
    disk = product.stack.home / "storage"
    files = [path for path in disk.rglob("*") if path.is_file() and path.read_bytes() == kept]
    assert len(files) == 1
    await product.delete(made)
    assert not files[0].exists()
    assert await product.quota() == before


async def test_with_s3_stopped_a_generation_completes_as_local_and_plays(product: Product) -> None:
    await product.stack.stop("s3")
    try:
        await _is_kept_on_disk(product, "S3 is stopped")
    finally:
        await product.stack.start("s3")


async def test_with_s3_hanging_a_generation_completes_as_local_and_plays(product: Product) -> None:
    while not (await product.call("GET", "/storage-status"))[1]["s3_healthy"]:
        await asyncio.sleep(0.2)  # it must be chosen, and fail then
    s3 = product.stack.pid("s3")
    os.kill(s3, signal.SIGSTOP)
    try:
        await _is_kept_on_disk(product, "S3 hangs")
    finally:
        os.kill(s3, signal.SIGCONT)


async def test_after_s3_is_back_the_next_one_goes_there(product: Product) -> None:
    for attempt in range(20):
        made = await product.generate(f"S3 is back, {attempt}")
        record = await product.until(made, "completed")
        await product.delete(made)
        if record["storage_type"] == "s3":
            return
    pytest.fail("S3 was never used again")


async def test_with_local_storage_off_too_it_completes_as_upstream_and_plays_through_us() -> None:
    without_s3 = [name for name in plan.NAMES if name != "s3"]
    settings = {
        **IMPATIENT,
        "REELGATE_BFF_PORT": "0",
        "REELGATE_GATEWAY_PORT": "0",
        "REELGATE_STORAGE_LOCAL_ENABLED": "false",
    }
    with tempfile.TemporaryDirectory(prefix="reelgate-faults-") as home:
        async with (
            Stack(Path(home), only=without_s3, env=settings) as stack,
            Product.opened(stack) as product,
        ):
            for knobs, life in (
                ({"expires_in_seconds": 3600}, 3600),
                ({"expires_in_seconds": None}, 900),
            ):
                prompt = f"nowhere to keep it for {life} s"
                await product.behave(**knobs)
                made = await product.generate(prompt)
                record = await product.until(made, "completed")
                assert (record["storage_type"], record["notice"]["code"]) == (
                    "upstream",
                    "not_stored",
                )
                left = datetime.fromisoformat(record["expires_at"]) - datetime.now(UTC)
                assert timedelta(seconds=life - 60) < left <= timedelta(seconds=life)
                assert record["media_url"].startswith("/api/v1/sora/media/")
                played = await product.read(record["media_url"])
                assert hashlib.sha256(played).hexdigest() == await product.studio_digest(prompt)
                url = stack.ready.bff_url + record["media_url"]
                ranged = {**product.headers, "Range": "bytes=4-7"}
                async with product.http.get(url, headers=ranged) as answer:
                    assert (answer.status, await answer.read()) == (206, played[4:8])
                async with product.http.get(url) as answer:
                    assert answer.status == 401
                assert await product.quota() == (0, 0)
                await product.delete(made)

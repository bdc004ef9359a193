"""A work that lies at its generator is saved by a click, once there is a place for it; and what is shown until then."""

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import expect

from deploy.local.stack import Stack
from tests.e2e.conftest import ENVIRONMENT, Visit
from tests.e2e.visitor import plays
from tests.faults.product import Product

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stack() -> AsyncIterator[Stack]:
    """A product of its own that may not use the disk."""
    env = {**ENVIRONMENT, "REELGATE_STORAGE_LOCAL_ENABLED": "false"}
    with tempfile.TemporaryDirectory(prefix="reelgate-e2e-") as home:
        async with Stack(Path(home), env=env) as running:
            yield running


async def test_d4_a_work_that_was_not_kept_is_saved_when_s3_is_back(
    visit: Visit, product: Product
) -> None:
    visitor = await visit()
    await visitor.open()
    await product.stack.stop("s3")
    lost = await visitor.ask_for("Gone before it was saved")
    await expect(lost).to_have_attribute("data-phase", "upstream")
    kept = await visitor.ask_for("Saved later")
    await expect(kept).to_have_attribute("data-phase", "upstream")
    save = kept.get_by_test_id("save")
    await visitor.page.reload()
    await expect(save).to_have_attribute("aria-disabled", "true")
    await expect(kept.get_by_test_id("save-reason")).to_contain_text("out of reach")

    await product.stack.start("s3")
    await expect(save).to_have_attribute("aria-disabled", "false", timeout=30_000)
    await product.behave(content_bytes_per_second=250)
    await save.click()
    await expect(save).to_contain_text("Saving")
    await expect(save).to_have_attribute("aria-disabled", "true")
    # It goes on whoever looks.
    await visitor.page.reload()
    await expect(save).to_contain_text("Saving")
    await expect(kept).to_have_attribute("data-storage", "s3", timeout=30_000)
    await expect(kept).to_contain_text("Saved to the cloud")
    await kept.get_by_test_id("play").click()
    await plays(kept.get_by_test_id("player"), beyond=0.05)
    assert (await product.quota())[0] > 0

    await product.behave()
    (submit,) = await product.submits("Gone before it was saved")
    await product.studio("DELETE", f"/v1/videos/{submit['id']}")
    visitor.allow(r"status of 502 .*/save$")
    again = lost.get_by_test_id("save")
    await again.click()
    await expect(again).to_contain_text("Did not save. Retry", timeout=30_000)

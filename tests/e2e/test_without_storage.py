"""Neither S3 nor the server's disk can keep a work: it plays from its upstream until the link ends."""

import hashlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import expect

from deploy.local import plan
from deploy.local.stack import Stack
from tests.e2e.conftest import ENVIRONMENT, Visit
from tests.e2e.visitor import plays
from tests.faults.product import Product

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stack() -> AsyncIterator[Stack]:
    """A product of its own whose S3 server is not there and that may not use the disk."""
    parts = [name for name in plan.NAMES if name != "s3"]
    env = {**ENVIRONMENT, "REELGATE_STORAGE_LOCAL_ENABLED": "false"}
    with tempfile.TemporaryDirectory(prefix="reelgate-e2e-") as home:
        async with Stack(Path(home), only=parts, env=env) as running:
            yield running


async def test_a_work_that_can_not_be_kept_counts_down_plays_and_downloads(
    visit: Visit, product: Product
) -> None:
    visitor = await visit()
    await visitor.open()
    await expect(visitor.at("storage-warning")).to_contain_text("download at once")
    card = await visitor.ask_for("Not kept anywhere")
    await expect(card).to_have_attribute("data-phase", "upstream")

    # The time that is left runs, and saving says why it is not possible.
    countdown = card.get_by_test_id("countdown")
    shown = await countdown.inner_text()
    await expect(countdown).not_to_have_text(shown, use_inner_text=True)
    await expect(card.get_by_test_id("save")).to_have_attribute("aria-disabled", "true")
    await expect(card.get_by_test_id("save-reason")).to_contain_text("out of reach")

    # It plays and downloads through us, since only we may read it at its upstream.
    await card.get_by_test_id("play").click()
    source = await plays(card.get_by_test_id("player"), beyond=0.05)
    assert source.startswith(f"{product.stack.ready.bff_url}/api/v1/sora/media/")
    downloaded = await visitor.downloads(card.get_by_test_id("download"))
    digest = hashlib.sha256(downloaded).hexdigest()
    assert digest == await product.studio_digest("Not kept anywhere")

    # The library shows what is kept; this is not.
    await visitor.at("tab-library").click()
    await expect(visitor.at("library-empty")).to_be_visible()
    assert await product.quota() == (0, 0)

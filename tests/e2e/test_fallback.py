"""S3 is down: works are kept on the server's disk and move nowhere the reader would notice."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import expect

from deploy.local.stack import Stack
from tests.e2e.conftest import Visit
from tests.e2e.visitor import plays
from tests.faults.product import Product

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def without_s3(stack: Stack, product: Product) -> AsyncIterator[None]:
    """The S3 server is away during the test."""
    await stack.stop("s3")
    yield
    await stack.start("s3")


@pytest.mark.usefixtures("without_s3")
async def test_without_s3_a_work_is_saved_on_the_server_and_plays(
    visit: Visit, product: Product
) -> None:
    visitor = await visit()
    await visitor.open()
    card = await visitor.ask_for("Kept on the server")
    await expect(card).to_have_attribute("data-status", "completed")
    await expect(card).to_have_attribute("data-storage", "local")
    await expect(card).to_contain_text("Saved on the server")
    await card.get_by_test_id("play").click()
    source = await plays(card.get_by_test_id("player"), beyond=0.05)
    assert source.startswith(f"{product.stack.ready.bff_url}/api/v1/sora/media/")

    await visitor.at("tab-library").click()
    await expect(visitor.at("tile")).to_have_attribute("data-storage", "local")
    await visitor.at("tile").hover()
    record = await product.get(await visitor.at("tile").get_attribute("data-id") or "")
    downloaded = await visitor.downloads(visitor.at("tile").get_by_test_id("download"))
    assert downloaded == await product.read(record["media_url"])

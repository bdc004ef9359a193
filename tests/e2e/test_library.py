"""The library: search, select, walk from work to work, delete several."""

import pytest
from playwright.async_api import expect

from tests.e2e.conftest import Visit
from tests.faults.product import Product

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_works_are_found_walked_through_chosen_and_deleted_together(
    visit: Visit, product: Product
) -> None:
    for prompt in ("A heron at dawn", "A kite over dunes", "A tram in the rain"):
        await product.until(await product.generate(prompt), "completed")
    visitor = await visit()
    page, tiles = visitor.page, visitor.at("tile")
    await visitor.open("/sora/library")
    await expect(tiles).to_have_count(3)
    await tiles.last.hover()
    await expect(tiles.last.locator("video[autoplay]")).to_be_attached()

    await visitor.at("search").fill("kite")
    await expect(tiles).to_have_count(1)
    await visitor.at("search").fill("no such thing")
    await expect(visitor.at("no-matches")).to_be_visible()
    await visitor.at("search").fill("")
    await expect(tiles).to_have_count(3)

    # Newest first; the arrow keys walk.
    await tiles.first.get_by_test_id("tile-open").click()
    shown = visitor.at("preview-prompt")
    await expect(shown).to_have_text("A tram in the rain")
    await page.keyboard.press("ArrowRight")
    await expect(shown).to_have_text("A kite over dunes")
    await page.keyboard.press("ArrowLeft")
    await expect(shown).to_have_text("A tram in the rain")
    await page.keyboard.press("Escape")
    await expect(visitor.at("preview")).to_have_count(0)

    await visitor.at("select").click()
    await tiles.nth(0).get_by_test_id("tile-open").click()
    await tiles.nth(1).get_by_test_id("tile-open").click()
    await visitor.at("tray-delete").click()
    await visitor.at("confirm").click()
    await expect(tiles).to_have_count(1)
    await expect(tiles).to_contain_text("A heron at dawn")
    (left,) = (await product.call("GET", "/generations"))[1]["items"]
    assert await product.quota() == (left["file_size_bytes"], 0)

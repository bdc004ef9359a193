"""E13: works are shown by small pictures of themselves; no film is fetched to fill a tile."""

import pytest
from playwright.async_api import Response, expect

from tests.e2e.conftest import Visit
from tests.e2e.visitor import DESKTOP, PHONE
from tests.faults.product import Product

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
async def test_e13_a_tile_shows_a_webp_and_loads_no_film(
    visit: Visit, product: Product, viewport: dict[str, int]
) -> None:
    work = await product.generate("A boat in the reeds")
    await product.until(work, "completed")
    record = await product.pictured(work)
    assert (record["width"], record["height"]) == (64, 64), "what the studio has at once"
    assert record["duration_seconds"] > 0

    visitor = await visit(viewport=viewport)
    seen: list[Response] = []

    def see(answer: Response) -> None:
        seen.append(answer)

    visitor.page.on("response", see)
    await visitor.open("/sora/library")
    picture = visitor.at("tile").locator("img")
    await expect(picture).to_have_attribute("src", record["thumbnail_url"])
    await expect(picture).to_have_js_property("naturalWidth", 64)
    await expect(visitor.at("tile").locator("video")).to_have_count(0)
    (answer,) = [one for one in seen if one.url == record["thumbnail_url"]]
    assert answer.headers["content-type"] == "image/webp"
    assert (await answer.body())[8:12] == b"WEBP"

    await visitor.open("/sora")
    poster = visitor.card("A boat in the reeds").locator("video")
    await expect(poster).to_have_attribute("poster", record["thumbnail_url"])
    await expect(poster).to_have_attribute("preload", "none")
    # Links to the same file differ from answer to answer only when an hour has passed.
    assert not [one.url for one in seen if ".mp4" in one.url]


async def test_e13_a_work_that_was_watched_gets_its_picture_without_a_reload(
    visit: Visit, product: Product
) -> None:
    visitor = await visit()
    await visitor.open()
    card = await visitor.ask_for("A kite over the dunes")
    await expect(card).to_have_attribute("data-status", "completed")
    await expect(card.locator("video[poster]")).to_be_attached()


async def test_e13_without_links_of_its_own_the_picture_comes_through_the_media_route(
    visit: Visit, product: Product
) -> None:
    await product.stack.stop("s3")
    try:
        work = await product.generate("A lamp in the fog")
        assert (await product.until(work, "completed"))["storage_type"] == "local"
        record = await product.pictured(work)
        assert record["thumbnail_url"] == f"{record['media_url']}?thumbnail=1"
        visitor = await visit()
        await visitor.open("/sora/library")
        picture = visitor.at("tile").locator("img")
        await expect(picture).to_have_js_property("naturalWidth", 64)
    finally:
        await product.stack.start("s3")
    stranger = await visit(logged_in=False)
    refused = await stranger.context.request.get(record["thumbnail_url"])
    assert refused.status == 401

"""A prompt becomes a kept video: log in, generate, watch, download, delete (main job, real policy)."""

import hashlib

import pytest
from playwright.async_api import expect

from tests.e2e.conftest import Visit
from tests.e2e.visitor import UNAUTHENTICATED, plays
from tests.faults.product import Product

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(240)]

PROMPT = "Snow falls on a quiet harbour"
# A real render of ten seconds of video, at low priority beside everything else.
RENDERING_MS = 120_000


async def test_the_pages_policy_allows_no_inline_code_and_the_browser_keeps_it(
    visit: Visit,
) -> None:
    visitor = await visit()
    page = await visitor.context.request.get("/sora")
    policy = page.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    await visitor.open()
    await expect(visitor.at("welcome")).to_be_visible()
    assert visitor.problems == []
    await visitor.page.evaluate("() => fetch('http://192.0.2.1/').catch(() => null)")
    assert any("policy connect-src refused" in problem for problem in visitor.problems)
    visitor.problems.clear()


async def test_a_prompt_becomes_a_video_that_plays_downloads_and_goes(
    visit: Visit, product: Product
) -> None:
    before = await product.quota()
    await product.behave(instant=False, render_seconds=3)
    visitor = await visit(logged_in=False)
    visitor.allow(UNAUTHENTICATED)

    # Who has no session is sent to the form, which says what was wrong with it.
    await visitor.open("/sora")
    await visitor.log_in(password="not the password")
    await expect(visitor.at("login-error")).to_be_visible()
    await visitor.log_in()
    quota = visitor.at("quota")
    await expect(quota).to_contain_text("/ 1 GB")
    quota_before = await quota.inner_text()

    # The percentage climbs.
    card = await visitor.ask_for(PROMPT)
    percent = card.get_by_test_id("percent")
    first = int(await percent.get_attribute("data-value") or "")
    await expect(percent).not_to_have_attribute("data-value", str(first))
    assert int(await percent.get_attribute("data-value") or "") > first

    # The finished video plays, straight from S3.
    await expect(card).to_have_attribute("data-status", "completed", timeout=RENDERING_MS)
    await expect(card).to_have_attribute("data-storage", "s3")
    await expect(card).to_contain_text("Saved to the cloud")
    await card.get_by_test_id("play").click()
    source = await plays(card.get_by_test_id("player"), beyond=0.5)
    assert source.startswith(product.stack.ready.s3["endpoint"])

    # The library has it; its preview plays.
    await visitor.at("tab-library").click()
    tile = visitor.at("tile")
    await expect(tile).to_have_count(1)
    await expect(tile).to_contain_text(PROMPT)
    await tile.get_by_test_id("tile-open").click()
    preview = visitor.at("preview")
    await plays(preview.get_by_test_id("player"), beyond=0.5)
    await expect(visitor.at("preview-prompt")).to_have_text(PROMPT)

    # What is downloaded is what is stored and what the studio made.
    record = await product.get(await preview.get_attribute("data-id") or "")
    downloaded = await visitor.downloads(visitor.at("preview-download"))
    assert downloaded == await product.read(record["media_url"])
    assert hashlib.sha256(downloaded).hexdigest() == await product.studio_digest(PROMPT)
    assert await product.quota() == (before[0] + len(downloaded), before[1])
    await expect(quota).not_to_have_text(quota_before)

    # Deleted, it is gone from the page, from S3 and from the books.
    await visitor.at("preview-delete").click()
    await visitor.at("confirm").click()
    await expect(visitor.at("library-empty")).to_be_visible()
    await expect(quota).to_have_text(quota_before, use_inner_text=True)
    object_id = record["media"][0]["object_id"]
    assert not [key for key in await product.bucket_keys() if object_id in key]
    assert await product.quota() == before

"""What a card shows and offers when a generation does not simply succeed."""

import asyncio

import pytest
from playwright.async_api import expect

from tests.e2e.conftest import Visit
from tests.faults.product import Product

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_cancelling_asks_once_more_and_then_ends_it(visit: Visit, product: Product) -> None:
    await product.behave(render_seconds=60)
    visitor = await visit()
    await visitor.open()
    card = await visitor.ask_for("To be cancelled")
    await expect(card).to_have_attribute("data-status", "generating")

    await card.get_by_test_id("cancel").click()
    await card.get_by_test_id("keep").click()
    await expect(card).to_have_attribute("data-status", "generating")

    await card.get_by_test_id("cancel").click()
    await card.get_by_test_id("confirm").click()
    await expect(card).to_have_attribute("data-status", "cancelled")
    await expect(card).to_contain_text("Nothing was kept.")
    async with asyncio.timeout(30):
        while await product.quota() != (0, 0):
            await asyncio.sleep(0.05)

    # Generating it again makes a new one.
    await product.behave()
    await card.get_by_test_id("again").click()
    page = visitor.page
    await visitor.delete_from_card(page.locator("[data-testid=card][data-status=completed]"))
    await visitor.delete_from_card(page.locator("[data-testid=card][data-status=cancelled]"))
    await expect(visitor.at("welcome")).to_be_visible()


@pytest.mark.parametrize(
    ("upstream_code", "code", "sentence"),
    [
        ("content_policy", "content_policy", "Change the prompt and try again."),
        ("render_failed", "upstream_error", "Try again in a few minutes."),
    ],
)
async def test_a_failed_one_says_in_a_sentence_what_to_do(
    upstream_code: str, code: str, sentence: str, visit: Visit, product: Product
) -> None:
    await product.behave(fail_with={"code": upstream_code, "message": "No.", "times": 1})
    visitor = await visit()
    await visitor.open()
    card = await visitor.ask_for("To fail")
    await expect(card).to_have_attribute("data-status", "failed")
    await expect(card).to_contain_text(sentence)
    assert (await product.get(await card.get_attribute("data-id") or ""))["error"]["code"] == code

    # Edited, it is tried again.
    await card.get_by_test_id("edit-retry").click()
    await expect(visitor.at("prompt")).to_have_value("To fail")
    await expect(visitor.at("prompt")).to_be_focused()
    second = await visitor.ask_for("To succeed")
    await expect(second).to_have_attribute("data-status", "completed")
    await visitor.delete_from_card(card)
    await expect(visitor.at("card")).to_have_count(1)


async def test_three_may_run_at_once_and_the_fourth_is_told_so(
    visit: Visit, product: Product
) -> None:
    await product.behave(render_seconds=60)
    visitor = await visit()
    visitor.allow(r"status of 429 .*/generate$")
    await visitor.open()
    for number in ("first", "second", "third"):
        await visitor.ask_for(f"The {number}")
    await visitor.at("prompt").fill("The fourth")
    await visitor.page.keyboard.press("Control+Enter")
    toast = visitor.at("toast").and_(visitor.page.locator("[data-kind=bad]"))
    await expect(toast).to_contain_text("All your places are taken.")
    await expect(visitor.at("prompt")).to_have_value("The fourth")
    await expect(visitor.at("card")).to_have_count(3)

"""The page stays true while it is reloaded, while the server is started again and while sessions end."""

import signal

import pytest
from playwright.async_api import expect

from deploy.local.stack import Stack
from tests.e2e.conftest import Visit
from tests.e2e.visitor import UNAUTHENTICATED, UNREACHABLE
from tests.faults.product import Product

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_reload_brings_running_cards_back(visit: Visit, product: Product) -> None:
    await product.behave(render_seconds=6)
    visitor = await visit()
    await visitor.open()
    card = await visitor.ask_for("Across a reload")
    await expect(card.get_by_test_id("percent")).to_be_visible()
    await visitor.page.reload()
    await expect(card).to_have_attribute("data-status", "generating")
    await expect(card).to_have_attribute("data-status", "completed")


async def test_a_page_catches_up_after_the_server_was_killed(
    visit: Visit, product: Product, stack: Stack
) -> None:
    await product.behave(render_seconds=5)
    visitor = await visit()
    visitor.allow(UNREACHABLE)
    await visitor.open()
    await visitor.page.evaluate("() => { window.untouched = true; }")
    card = await visitor.ask_for("Across a restart")
    await expect(card.get_by_test_id("percent")).to_be_visible()
    stack.kill("frontend_bff", signal.SIGKILL)
    await stack.answering("frontend_bff")
    await expect(card).to_have_attribute("data-status", "completed")
    assert await visitor.page.evaluate("() => window.untouched")


async def test_a_second_tab_sees_what_the_first_one_does(visit: Visit, product: Product) -> None:
    visitor = await visit()
    await visitor.open()
    second = await visitor.another_tab()
    await second.open()
    await expect(second.at("welcome")).to_be_visible()
    card = await visitor.ask_for("Seen in both")
    await expect(second.card("Seen in both")).to_have_attribute("data-status", "completed")
    await visitor.delete_from_card(card)
    await expect(second.at("welcome")).to_be_visible()


async def test_an_expired_session_is_renewed_without_a_word(visit: Visit, product: Product) -> None:
    visitor = await visit()
    visitor.allow(UNAUTHENTICATED)
    await visitor.open()
    await expect(visitor.at("welcome")).to_be_visible()
    await visitor.context.clear_cookies(name="reelgate_access")
    card = await visitor.ask_for("With a renewed session")
    await expect(card).to_have_attribute("data-status", "completed")
    names = {cookie.get("name") for cookie in await visitor.context.cookies()}
    assert "reelgate_access" in names


async def test_after_logging_out_the_pages_are_closed(visit: Visit) -> None:
    visitor = await visit()
    visitor.allow(UNAUTHENTICATED)
    await visitor.open()
    await visitor.at("user-menu").click()
    await visitor.at("logout").click()
    await expect(visitor.at("login-email")).to_be_visible()
    assert await visitor.context.cookies() == []
    await visitor.open("/sora/library")
    await visitor.log_in()
    await expect(visitor.at("library-empty")).to_be_visible()

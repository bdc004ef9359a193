"""Chinese, and the width of a phone."""

import pytest
from playwright.async_api import expect

from tests.e2e.conftest import Visit
from tests.e2e.visitor import PHONE, Visitor
from tests.faults.product import Product

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_chinese_browser_gets_chinese_and_may_switch(
    visit: Visit, product: Product
) -> None:
    visitor = await visit(logged_in=False, locale="zh-CN")
    page = visitor.page
    await visitor.open("/login")
    await expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    await expect(visitor.at("login-submit")).to_have_text("登录")
    await visitor.at("login-locale-en").click()
    await expect(visitor.at("login-submit")).to_have_text("Sign in")
    await visitor.at("login-locale-zh").click()
    await visitor.log_in()
    await expect(visitor.at("generate")).to_contain_text("生成")
    card = await visitor.ask_for("港口静静地下着雪")
    await expect(card).to_have_attribute("data-status", "completed")
    await expect(card).to_contain_text("已保存")

    # The choice of English outlasts a reload.
    await visitor.at("user-menu").click()
    await visitor.at("locale-en").click()
    await page.keyboard.press("Escape")
    await expect(card).to_contain_text("Saved to the cloud")
    await page.reload()
    await expect(card).to_contain_text("Saved to the cloud")
    await expect(page.locator("html")).to_have_attribute("lang", "en")


async def test_a_phone_has_everything_within_its_width(visit: Visit, product: Product) -> None:
    visitor = await visit(viewport=PHONE, is_mobile=True, has_touch=True)
    await visitor.open()
    await visitor.at("drawer-open").tap()
    await expect(visitor.at("drawer").get_by_test_id("nav-sora")).to_be_visible()
    await visitor.at("drawer").get_by_test_id("nav-sora").tap()
    await expect(visitor.at("drawer")).to_have_count(0)

    await visitor.at("options").tap()
    sheet = visitor.page.get_by_role("dialog")
    await sheet.get_by_text("Portrait", exact=True).tap()
    await sheet.get_by_role("button", name="Done").tap()
    card = await visitor.ask_for("Held in one hand")
    await expect(card).to_have_attribute("data-status", "completed")
    record = await product.get(await card.get_attribute("data-id") or "")
    assert record["orientation"] == "portrait"
    assert await _fits(visitor)

    await visitor.at("tab-library").tap()
    await visitor.at("tile").get_by_test_id("tile-open").tap()
    await expect(visitor.at("preview-prompt")).to_have_text("Held in one hand")
    assert await _fits(visitor)


async def _fits(visitor: Visitor) -> bool:
    """Nothing has to be scrolled sideways."""
    return bool(
        await visitor.page.evaluate(
            "() => document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        )
    )

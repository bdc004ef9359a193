"""axe finds nothing serious on any page, in both themes."""

from typing import Any

import pytest
from playwright.async_api import expect

from tests.e2e.browser import AXE
from tests.e2e.conftest import Visit
from tests.e2e.visitor import Visitor
from tests.faults.product import Product

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("theme", ["dark", "light"])
async def test_axe_finds_nothing_serious_on_the_login_page(theme: str, visit: Visit) -> None:
    visitor = await _with_theme(theme, visit, logged_in=False)
    await visitor.open("/login")
    await expect(visitor.at("login-submit")).to_be_visible()
    assert await _serious(visitor) == []


@pytest.mark.parametrize("theme", ["dark", "light"])
async def test_axe_finds_nothing_serious_where_works_are_made_and_kept(
    theme: str, visit: Visit, product: Product
) -> None:
    visitor = await _with_theme(theme, visit)
    await visitor.open()
    await expect(visitor.at("welcome")).to_be_visible()
    assert await _serious(visitor) == []

    # Cards in each state.
    await product.until(await product.generate("Kept"), "completed")
    await product.behave(fail_with={"code": "render_failed"})
    await product.until(await product.generate("Failed"), "failed")
    await product.behave(render_seconds=60)
    cancelled = await product.generate("Cancelled")
    assert (await product.call("POST", f"/generations/{cancelled}/cancel"))[0] == 200
    await product.until(await product.generate("Being made"), "generating")
    for prompt in ("Kept", "Failed", "Cancelled", "Being made"):
        await expect(visitor.card(prompt)).to_be_visible()
    await expect(visitor.card("Being made").get_by_test_id("percent")).to_be_visible()
    assert await _serious(visitor) == []

    await visitor.at("tab-library").click()
    await expect(visitor.at("tile")).to_have_count(1)
    assert await _serious(visitor) == []

    await visitor.at("tile-open").click()
    await expect(visitor.at("preview-prompt")).to_be_visible()
    assert await _serious(visitor) == []


@pytest.mark.parametrize("theme", ["dark", "light"])
async def test_axe_finds_nothing_serious_on_the_storage_page(theme: str, visit: Visit) -> None:
    visitor = await _with_theme(theme, visit)
    await visitor.open("/admin/storage")
    await visitor.at("s3-advanced").click()
    await visitor.at("s3-secret-replace").click()
    await visitor.at("s3-secret_access_key").fill("not-the-secret")
    await visitor.at("s3-test").click()
    await expect(visitor.at("trial")).to_be_visible()
    assert await _serious(visitor) == []


async def _with_theme(theme: str, visit: Visit, **options: Any) -> Visitor:
    visitor = await visit(**options)
    await visitor.context.add_init_script(f"localStorage.setItem('reelgate.theme', '{theme}')")
    return visitor


async def _serious(visitor: Visitor) -> list[str]:
    """Rules that are broken seriously or critically, with the elements that do."""
    await visitor.page.evaluate(AXE.read_text())
    found = await visitor.page.evaluate("() => axe.run(document, { resultTypes: ['violations'] })")
    return [
        f"{rule['id']}: {node['html']} {node['failureSummary']}"
        for rule in found["violations"]
        if rule["impact"] in {"serious", "critical"}
        for node in rule["nodes"]
    ]

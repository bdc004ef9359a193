"""The administrator's storage page: settings, their test, the upload log, the costs (E1, E11, E12, E14)."""

import re

import grpc
import pytest
from playwright.async_api import expect

from reelgate.gateway.v1 import identity_pb2, identity_pb2_grpc
from tests.e2e.conftest import Visit
from tests.e2e.visitor import PHONE, Visitor
from tests.faults.product import Product

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_e12_the_test_button_ticks_each_step(visit: Visit) -> None:
    visitor = await _at_storage(visit)
    await visitor.at("s3-test").click()

    await expect(visitor.at("trial")).to_have_attribute("data-verdict", "works")
    for step in ("connect", "list", "upload", "multipart", "checksum", "link", "cors", "delete"):
        await expect(visitor.at(f"step-{step}")).to_have_attribute("data-mark", "ok")
    await expect(visitor.at("s3-foot")).to_have_text("Tested with the values above")
    await expect(visitor.at("s3-save")).to_be_disabled()


async def test_e12_a_wrong_secret_is_named_with_its_cure_and_not_kept(visit: Visit) -> None:
    visitor = await _at_storage(visit)
    await visitor.at("s3-secret-replace").click()
    await visitor.at("s3-secret_access_key").fill("not-the-secret")
    await visitor.at("s3-test").click()

    await expect(visitor.at("trial")).to_have_attribute("data-verdict", "failed")
    await expect(visitor.at("step-list")).to_contain_text("The secret access key is not")
    await expect(visitor.at("step-upload")).to_have_attribute("data-mark", "skipped")
    await visitor.at("s3-secret-replace").click()
    await visitor.at("s3-test").click()
    await expect(visitor.at("trial")).to_have_attribute("data-verdict", "works")


async def test_e1_settings_are_saved_and_reset(visit: Visit) -> None:
    visitor = await _at_storage(visit)
    visitor.allow(r"status of 400 .*/admin/storage/s3")
    await visitor.at("s3-advanced").click()
    await visitor.at("s3-prefix").fill("/wrong")
    await visitor.at("s3-save").click()
    await expect(visitor.at("s3-prefix")).to_be_focused()
    await expect(visitor.at("s3-prefix")).to_have_attribute("aria-invalid", "true")

    await visitor.at("s3-prefix").fill("elsewhere/")
    await expect(visitor.at("s3-foot")).to_have_text("Not saved yet")
    await visitor.at("s3-save").click()
    await expect(visitor.at("s3-foot")).to_have_text("Saved here")
    await visitor.page.reload()
    await expect(visitor.at("s3-prefix")).to_have_value("elsewhere/")

    await visitor.at("s3-reset").click()
    await visitor.at("s3-reset-confirm").click()
    await expect(visitor.at("s3-foot")).to_have_text("From the environment of the server")
    await expect(visitor.at("s3-prefix")).to_have_value("")


async def test_e1_the_r2_preset_fills_in_what_r2_needs(visit: Visit) -> None:
    visitor = await _at_storage(visit)
    await visitor.at("preset-r2").check(force=True)
    await visitor.at("s3-endpoint").fill("0123456789abcdef0123456789abcdef")
    await visitor.at("s3-bucket").focus()

    await expect(visitor.at("s3-endpoint")).to_have_value(
        "https://0123456789abcdef0123456789abcdef.r2.cloudflarestorage.com"
    )
    await expect(visitor.at("s3-region")).to_have_value("auto")
    await visitor.at("preset-other").check(force=True)
    await expect(visitor.at("s3-foot")).to_have_text("From the environment of the server")


async def test_e11_e14_a_kept_work_is_logged_and_counted(visit: Visit, product: Product) -> None:
    await product.until(await product.generate("A lighthouse"), "completed")
    visitor = await _at_storage(visit)

    row = visitor.at("upload-table").locator("tbody tr").first
    await expect(row).to_contain_text("127.0.0.1")
    await expect(row).to_contain_text("Stored")
    await expect(visitor.at("upload-chart")).to_be_visible()
    await expect(visitor.at("cost")).to_have_text(re.compile(r"\$\d"))
    await expect(visitor.at("tier-s3")).to_contain_text("Works")


async def test_on_a_phone_nothing_is_cut_off(visit: Visit) -> None:
    visitor = await visit(viewport=PHONE, locale="zh-CN")
    await visitor.open()
    await visitor.at("drawer-open").click()
    await visitor.at("nav-storage").last.click()
    await expect(visitor.at("s3-form")).to_be_visible()

    width = await visitor.page.evaluate("document.documentElement.scrollWidth")
    assert width <= PHONE["width"]


async def test_for_others_there_is_no_such_page(visit: Visit, product: Product) -> None:
    somebody = {"email": "somebody@example.com", "password": "only for this test"}
    async with grpc.aio.insecure_channel(product.stack.ready.grpc["gateway"]) as channel:
        await identity_pb2_grpc.IdentityServiceStub(channel).CreateUser(
            identity_pb2.CreateUserRequest(**somebody, role=identity_pb2.ROLE_USER),
            metadata=[("authorization", product.headers["Authorization"])],
        )
    visitor = await visit(logged_in=False)
    answer = await visitor.context.request.post("/api/v1/auth/login", data=somebody)
    assert answer.ok, await answer.text()
    await visitor.open("/admin/storage")

    await expect(visitor.at("missing")).to_be_visible()
    await expect(visitor.at("nav-storage")).to_have_count(0)
    await expect(visitor.page).to_have_url(re.compile(r"/admin/storage$"))


async def _at_storage(visit: Visit) -> Visitor:
    visitor = await visit()
    await visitor.open("/admin/storage")
    await expect(visitor.at("s3-form")).to_be_visible()
    return visitor

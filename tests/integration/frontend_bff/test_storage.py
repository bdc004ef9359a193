"""What the BFF says about storage (E1, E4, E7, E11, E12, E14), with the real services behind it."""

import io
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from PIL import Image

from services.kernel.ids import new_id
from services.kernel.tokens import Signer
from tests.integration.frontend_bff.person import Person
from tests.integration.storage_stack import StorageStack, storage_stack

pytestmark = pytest.mark.asyncio(loop_scope="module")

_S3 = "/admin/storage/s3"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack() -> AsyncIterator[StorageStack]:
    """One stack for all tests here; each leaves its settings as they were."""
    async with storage_stack() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A client without cookies."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield session


@pytest_asyncio.fixture(loop_scope="module")
async def administrator(stack: StorageStack, http: aiohttp.ClientSession) -> Person:
    """Logged in by HTTP."""
    ready = stack.ready
    body = {"email": ready.email, "password": ready.password}
    async with http.post(f"{ready.bff_url}/api/v1/auth/login", json=body) as answer:
        assert answer.status == 200
        return Person(http, ready.bff_url, await answer.json())


def _png() -> bytes:
    encoded = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(encoded, "PNG")
    return encoded.getvalue()


async def test_e1_settings_are_read_changed_and_reset(administrator: Person) -> None:
    status, read = await administrator.call("GET", _S3)
    assert (status, read["origin"], read["enabled"]) == (200, "environment", True)
    assert (read["secret_access_key"], read["secret_set"]) == (None, True)

    status, changed = await administrator.call("PUT", _S3, json=read | {"prefix": "elsewhere/"})
    assert status == 200, changed
    assert (changed["origin"], changed["prefix"]) == ("operator", "elsewhere/")
    status, stale = await administrator.call("PUT", _S3, json=read | {"prefix": "third/"})
    assert (status, stale["code"]) == (409, "stale_etag")
    status, stale = await administrator.call("DELETE", _S3, params={"etag": read["etag"]})
    assert (status, stale["code"]) == (409, "stale_etag")

    status, reset = await administrator.call("DELETE", _S3, params={"etag": changed["etag"]})
    assert status == 200, reset
    assert (reset["origin"], reset["prefix"]) == ("environment", "")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"endpoint": "ftp://x"}, "endpoint"),
        ({"endpoint": "http://169.254.169.254"}, "endpoint"),
        ({"bucket": "Not A Bucket"}, "bucket"),
        ({"prefix": "../up"}, "prefix"),
        ({"cdn_url": "not an address"}, "cdn_url"),
        ({"access_key_id": "a b"}, "access_key_id"),
    ],
)
async def test_e1_a_bad_value_is_400_and_named(
    administrator: Person, change: dict[str, Any], field: str
) -> None:
    _, read = await administrator.call("GET", _S3)
    status, problem = await administrator.call("PUT", _S3, json=read | change)

    assert status == 400, problem
    assert [error["field"] for error in problem["errors"]] == [field]


async def test_e12_the_forms_test_is_all_ticks(administrator: Person, stack: StorageStack) -> None:
    before = await stack.keys()
    _, form = await administrator.call("GET", _S3)
    status, trial = await administrator.call("POST", f"{_S3}/test", json=form)

    assert status == 200
    assert trial["ok"], trial
    assert all(step["ok"] and step["cure"] is None for step in trial["steps"]), trial
    assert {"upload", "link", "cors", "delete"} <= {step["name"] for step in trial["steps"]}
    assert await stack.keys() == before


@pytest.mark.parametrize(
    ("change", "step", "cure"),
    [
        ({"secret_access_key": "not-the-secret"}, "list", "The secret access key is not"),
        ({"bucket": "no-such-bucket"}, "list", "Create the bucket"),
        ({"cdn_url": "CDN"}, "link", "allow public access"),
        ({"endpoint": "http://10.0.0.1"}, "connect", "REELGATE_EGRESS_PRIVATE_ORIGINS"),
    ],
)
async def test_e12_the_forms_test_names_a_fault_and_its_cure(
    administrator: Person, stack: StorageStack, change: dict[str, Any], step: str, cure: str
) -> None:
    _, form = await administrator.call("GET", _S3)
    if "cdn_url" in change:
        change = {"cdn_url": stack.cdn_url}
    status, trial = await administrator.call("POST", f"{_S3}/test", json=form | change)

    assert status == 200
    assert not trial["ok"]
    (failed,) = [one for one in trial["steps"] if not one["ok"]]
    assert (failed["name"], cure in failed["cure"]) == (step, True), failed
    assert "not-the-secret" not in str(trial)


async def test_only_administrators_see_any_of_it(
    stack: StorageStack, http: aiohttp.ClientSession
) -> None:
    key = (stack.stack.home / "secrets" / "signing_key.pem").read_text()
    audience = ("gateway", "storage", "quota")
    user_id = str(new_id())
    token = Signer(key).sign(user_id, audience=audience, lifetime_seconds=60)
    session = {"user": {"id": user_id}, "access_token": token}
    somebody = Person(http, stack.ready.bff_url, session)
    form = {"enabled": True, "endpoint": "", "region": "", "bucket": "", "etag": "x"}
    for method, path, body in (
        ("GET", _S3, None),
        ("PUT", _S3, form),
        ("DELETE", f"{_S3}?etag=x", None),
        ("POST", f"{_S3}/test", form),
        ("GET", "/admin/storage/uploads", None),
        ("GET", "/admin/storage/costs", None),
    ):
        status, problem = await somebody.call(method, path, json=body)
        assert (status, problem["code"]) == (403, "permission_denied"), path


async def test_e4_e11_an_image_is_kept_shown_logged_and_counted(
    administrator: Person, http: aiohttp.ClientSession
) -> None:
    picture = _png()
    form = aiohttp.FormData()
    form.add_field("file", picture, filename="a.png", content_type="image/png")
    status, kept = await administrator.call("POST", "/sora/uploads", data=form)

    assert status == 201, kept
    assert (kept["size_bytes"], kept["content_type"]) == (len(picture), "image/png")
    async with http.get(kept["url"]) as answer:
        assert await answer.read() == picture

    status, page = await administrator.call("GET", "/admin/storage/uploads?page_size=1")
    assert status == 200
    (record,) = page["items"]
    assert (record["object_id"], record["source"]) == (kept["object_id"], "upload")
    assert (record["tier"], record["failure"]) == ("s3", None)
    assert record["size_bytes"] == len(picture)

    status, costs = await administrator.call("GET", "/admin/storage/costs")
    assert status == 200
    assert costs["stored_bytes"] >= len(picture)


async def test_e4_what_only_begins_like_an_image_is_kept_out_or_kept_as_what_it_is(
    administrator: Person,
) -> None:
    status, problem = await administrator.call("POST", "/sora/uploads", data=b"<html>" * 100)

    assert (status, problem["code"]) == (400, "bad_file")


async def test_e7_a_browser_uploads_straight_into_the_bucket(
    administrator: Person, http: aiohttp.ClientSession
) -> None:
    picture = _png()
    wish = {"size_bytes": len(picture), "content_type": "image/png"}
    status, made = await administrator.call("POST", "/sora/uploads/presign", json=wish)
    assert status == 200, made

    commit = f"/sora/uploads/{made['object_id']}/commit"
    status, problem = await administrator.call("POST", commit)
    assert (status, problem["code"]) == (409, "not_uploaded")
    async with http.request(
        made["method"], made["url"], headers=made["headers"], data=picture
    ) as answer:
        assert answer.status == 200, await answer.text()
    status, kept = await administrator.call("POST", commit)
    assert status == 200, kept
    assert (kept["object_id"], kept["size_bytes"]) == (made["object_id"], len(picture))
    async with http.get(kept["url"]) as answer:
        assert await answer.read() == picture

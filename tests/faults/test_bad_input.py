"""Bad input over the whole product: a precise error, and nothing is changed (4-http-api.md)."""

import asyncio
import uuid
from typing import Any

import pytest

from tests.faults.product import MODEL, Product

pytestmark = pytest.mark.asyncio(loop_scope="session")

NOBODYS = "01a20161-5eb3-7719-b017-06ac6861fd89"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"prompt": "x"}, "model"),
        ({"model": MODEL}, "prompt"),
        ({"model": MODEL, "prompt": "   "}, "prompt"),
        ({"model": MODEL, "prompt": 5}, "prompt"),
        ({"model": MODEL, "prompt": "x" * 40_000}, "prompt"),
        ({"model": "no-such-model", "prompt": "x"}, "model"),
        ({"model": MODEL, "prompt": "x", "orientation": "portrait"}, "orientation"),
        ({"model": MODEL, "prompt": "x", "orientation": "sideways"}, "orientation"),
        ({"model": MODEL, "prompt": "x", "duration_seconds": 25}, "duration_seconds"),
        ({"model": MODEL, "prompt": "x", "media_type": "image"}, "media_type"),
        ({"model": MODEL, "prompt": "x", "n": 2}, "n"),
        ({"model": MODEL, "prompt": "x", "parameters": {"seed": 1}}, "parameters.seed"),
    ],
)
async def test_a_bad_field_is_named(body: dict[str, Any], field: str, product: Product) -> None:
    before = await product.call("GET", "/generations?include=total")
    status, problem = await product.call("POST", "/generate", json=body)
    assert status == 400, problem
    assert problem["errors"][0]["field"] == field
    assert problem["request_id"]
    assert await product.call("GET", "/generations?include=total") == before


async def test_malformed_json_a_bad_id_and_somebody_elses_id(product: Product) -> None:
    status, problem = await _raw(product, b'{"model": ')
    assert (status, problem["title"]) == (400, "Bad Request")
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/cancel")):
        assert (await product.call(method, f"/generations/not-an-id{path}"))[0] == 400
        assert (await product.call(method, f"/generations/{NOBODYS}{path}"))[0] == 404
    assert (await product.call("GET", f"/media/{uuid.uuid4()}"))[0] == 404


async def _raw(product: Product, body: bytes) -> tuple[int, Any]:
    url = f"{product.stack.ready.bff_url}/api/v1/sora/generate"
    headers = {**product.headers, "Content-Type": "application/json"}
    async with product.http.post(url, data=body, headers=headers) as answer:
        return answer.status, await answer.json(content_type=None)


async def test_without_a_token_nothing_is_told(product: Product) -> None:
    for path in ("/generations", f"/generations/{NOBODYS}", "/quota", "/models", "/events"):
        url = f"{product.stack.ready.bff_url}/api/v1/sora{path}"
        async with product.http.get(url) as answer:
            assert answer.status == 401, path
        async with product.http.get(url, headers={"Authorization": "Bearer x.y.z"}) as answer:
            assert answer.status == 401, path


async def test_d3_of_thirty_parallel_requests_exactly_three_are_accepted(product: Product) -> None:
    await product.behave(render_seconds=20)
    bodies = [{"model": MODEL, "prompt": f"one of thirty, {number}"} for number in range(30)]
    answers = await asyncio.gather(
        *(product.call("POST", "/generate", json=body) for body in bodies)
    )
    assert sorted(status for status, _ in answers) == [202] * 3 + [429] * 27
    refused = [body for status, body in answers if status == 429]
    assert {body["code"] for body in refused} == {"concurrency_limit_exceeded"}
    for status, body in answers:
        if status == 202:
            await product.delete(body["generation_id"])
    assert await product.quota() == (0, 0)

"""Bad bodies, queries and ids are 400 and name the field."""

import io
import json
from typing import Any

import pytest

from reelgate.gateway.v1 import generation_pb2
from tests.contract.frontend_bff import messages
from tests.contract.frontend_bff.conftest import Bff, token
from tests.contract.frontend_bff.fakes import Backend
from tests.contract.frontend_bff.messages import GENERATION

_ONE = f"/api/v1/sora/generations/{GENERATION}"


@pytest.fixture(autouse=True)
def known(backend: Backend) -> None:
    one = messages.generation()
    backend.answers |= {
        "CreateGeneration": generation_pb2.CreateGenerationResponse(generation=one),
        "GetGeneration": generation_pb2.GetGenerationResponse(generation=one),
        "CancelGeneration": generation_pb2.CancelGenerationResponse(generation=one),
        "RetryGeneration": generation_pb2.RetryGenerationResponse(generation=one),
        "SaveGeneration": generation_pb2.SaveGenerationResponse(generation=one),
        "DeleteGeneration": generation_pb2.DeleteGenerationResponse(erased=True),
    }


@pytest.mark.parametrize("key", ["", "a b", "ü", "x" * 256])
async def test_an_idempotency_key_is_up_to_255_visible_ascii_characters(
    bff: Bff, backend: Backend, key: str
) -> None:
    headers = {"Authorization": f"Bearer {token()}", "Idempotency-Key": key}
    body = {"model": "m", "prompt": "p"}
    answer = await bff.call("POST", "/api/v1/sora/generate", json=body, headers=headers)

    assert answer.status == 400
    assert (await answer.json())["errors"][0]["field"] == "Idempotency-Key"
    assert backend.asked("CreateGeneration") == []


_BAD_BODIES = [
    (b"", ""),
    (b"{", ""),
    (b"null", ""),
    (b"[]", ""),
    (b'"text"', ""),
    (b"{}", "model"),
    (b'{"model":"m"}', "prompt"),
    (b'{"prompt":"p"}', "model"),
    (b'{"model":1,"prompt":"p"}', "model"),
    (b'{"model":"","prompt":"p"}', "model"),
    (b'{"model":null,"prompt":"p"}', "model"),
    (b'{"model":"m","prompt":["p"]}', "prompt"),
    (b'{"model":"m","prompt":""}', "prompt"),
    (b'{"model":"m","prompt":"p","media_type":"audio"}', "media_type"),
    (b'{"model":"m","prompt":"p","orientation":"Landscape"}', "orientation"),
    (b'{"model":"m","prompt":"p","duration_seconds":"10"}', "duration_seconds"),
    (b'{"model":"m","prompt":"p","duration_seconds":true}', "duration_seconds"),
    (b'{"model":"m","prompt":"p","duration_seconds":NaN}', "duration_seconds"),
    (b'{"model":"m","prompt":"p","duration_seconds":1e999}', "duration_seconds"),
    (b'{"model":"m","prompt":"p","n":1.5}', "n"),
    (b'{"model":"m","prompt":"p","n":0}', "n"),
    (b'{"model":"m","prompt":"p","n":99999999999999999999999999}', "n"),
    (b'{"model":"m","prompt":"p","parameters":[]}', "parameters"),
    (b'{"model":"m","prompt":"p","parameters":{"a":NaN}}', "parameters"),
    (b'{"model":"m","prompt":"p","parameters":{"a":-Infinity}}', "parameters"),
    (b'{"model":"m","prompt":"p","parameters":{"a":9007199254740993}}', "parameters"),
    (b'{"model":"m","prompt":"p","parameters":{"a\\u0000":1}}', "parameters"),
    (b'{"model":"m","prompt":"p","input_object_ids":["x"]}', "input_object_ids.0"),
    (b'{"model":"m","prompt":"p","cache":"always"}', "cache"),
    (b'{"model":"m","prompt":"nul \\u0000"}', "prompt"),
    (b'{"model":"m","prompt":"lone \\ud800"}', ""),
    (b'{"model":"m","prompt":"\xff"}', ""),
    (b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}", ""),
    (b'{"a":' + b"9" * 10_000 + b"}", ""),
]


async def test_a_bad_body_is_400_and_names_the_field(bff: Bff, backend: Backend) -> None:
    for raw, field in _BAD_BODIES:
        answer = await bff.call("POST", "/api/v1/sora/generate", data=raw)

        assert answer.status == 400, raw[:100]
        problem = json.loads(await answer.read())
        assert problem["code"] == "invalid_argument"
        assert field in [error["field"] for error in problem["errors"]], raw[:100]
        assert all(error["message"] for error in problem["errors"])
    assert backend.asked("CreateGeneration") == []


async def test_parameters_may_be_nested_but_not_without_end(bff: Bff, backend: Backend) -> None:
    def body(depth: int) -> dict[str, Any]:
        value: Any = 1
        for _ in range(depth):
            value = {"a": value}
        return {"model": "m", "prompt": "p", "parameters": {"top": value}}

    deep = await bff.call("POST", "/api/v1/sora/generate", json=body(20))
    too_deep = await bff.call("POST", "/api/v1/sora/generate", json=body(40))

    assert (deep.status, too_deep.status) == (202, 400)


async def test_a_body_above_one_mebibyte_is_413(bff: Bff, backend: Backend) -> None:
    raw = json.dumps({"model": "m", "prompt": "p", "more": "x" * 1_100_000}).encode()
    answer = await bff.call("POST", "/api/v1/sora/generate", data=io.BytesIO(raw))

    assert answer.status == 413
    assert (await answer.json())["code"] == "request_entity_too_large"


async def test_a_compressed_body_that_is_none_is_400(bff: Bff) -> None:
    headers = {"Authorization": f"Bearer {token()}", "Content-Encoding": "gzip"}
    answer = await bff.call("POST", "/api/v1/sora/generate", data=b"not gzip", headers=headers)

    assert answer.status == 400


_BAD_QUERIES = [
    ("status=done", "status.0"),
    ("status=pending,", "status.1"),
    ("storage_type=S3", "storage_type.0"),
    ("media_type=audio", "media_type.0"),
    ("include=everything", "include.0"),
    ("page_size=0", "page_size"),
    ("page_size=101", "page_size"),
    ("page_size=-1", "page_size"),
    ("page_size=1.0", "page_size"),
    ("page_size=%2B5", "page_size"),
    ("page_size=", "page_size"),
    ("page_size=" + "9" * 5000, "page_size"),
    ("page_size=5&page_size=5", "page_size"),
    ("q=a%00b", "q"),
]


async def test_a_bad_query_is_400_and_names_the_parameter(bff: Bff, backend: Backend) -> None:
    for query, field in _BAD_QUERIES:
        answer = await bff.call("GET", f"/api/v1/sora/generations?{query}")

        assert answer.status == 400, query
        assert (await answer.json())["errors"][0]["field"] == field
    assert backend.asked("ListGenerations") == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/sora/generations/{}"),
        ("DELETE", "/api/v1/sora/generations/{}"),
        ("POST", "/api/v1/sora/generations/{}/cancel"),
        ("POST", "/api/v1/sora/generations/{}/save"),
        ("POST", "/api/v1/sora/generations/{}/retry"),
        ("GET", "/api/v1/sora/media/{}"),
        ("GET", "/api/v1/admin/users/{}"),
        ("PATCH", "/api/v1/admin/users/{}"),
        ("POST", "/api/v1/admin/users/{}/credits"),
        ("GET", "/api/v1/admin/groups/{}"),
        ("PATCH", "/api/v1/admin/groups/{}"),
        ("DELETE", "/api/v1/admin/groups/{}"),
    ],
)
async def test_an_id_that_is_no_id_is_400(bff: Bff, method: str, path: str) -> None:
    spelt_otherwise = (GENERATION[:-1], GENERATION.replace("-", ""), f"{{{GENERATION}}}")
    for bad in ("x", "123", *spelt_otherwise, "%00", "%FF", "%ED%A0%80", "%F0%9F%97%BC"):
        answer = await bff.call(method, path.format(bad))

        assert answer.status == 400, bad
        assert (await answer.json())["errors"][0]["field"] in ("id", "object_id")

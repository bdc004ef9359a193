"""Works over HTTP: what is asked of the gateway, and what a program reads (D1, D4, D7, D15)."""

import hashlib
import io
import json
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import TypeAdapter

from reelgate.common.v1 import media_pb2
from reelgate.gateway.v1 import generation_pb2
from services.frontend_bff.schemas.answers import Generation
from tests.contract.frontend_bff import messages
from tests.contract.frontend_bff.conftest import Bff, token
from tests.contract.frontend_bff.fakes import Backend
from tests.contract.frontend_bff.messages import GENERATION, OBJECT, USER

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


async def test_a_work_is_asked_for_and_the_answer_says_where_to_look(
    bff: Bff, backend: Backend
) -> None:
    body = {"model": "sora2-landscape-10s", "prompt": "a lighthouse", "unknown": 1}
    answer = await bff.call("POST", "/api/v1/sora/generate", json=body)

    assert answer.status == 202
    assert await answer.json() == {"generation_id": GENERATION, "status": "pending"}
    assert answer.headers["Location"] == _ONE
    assert "Idempotency-Replayed" not in answer.headers
    asked = backend.asked("CreateGeneration")[0]
    assert (asked.model, asked.prompt, asked.count) == ("sora2-landscape-10s", "a lighthouse", 0)
    assert not asked.HasField("duration")
    assert not asked.HasField("parameters")
    assert backend.subjects("CreateGeneration") == [USER]


async def test_every_field_reaches_the_gateway(bff: Bff, backend: Backend) -> None:
    body = {
        "model": "gpt-image",
        "prompt": "ein Leuchtturm 🗼",
        "media_type": "image",
        "orientation": "portrait",
        "duration_seconds": 2.5,
        "n": 3,
        "parameters": {"quality": "high", "seed": 7, "deep": [{"a": None}, True]},
        "image_url": "https://example.org/a.png",
        "input_object_ids": [OBJECT],
        "cache": "prefer",
    }
    answer = await bff.call("POST", "/api/v1/sora/generate", json=body)

    assert answer.status == 202
    asked = backend.asked("CreateGeneration")[0]
    assert asked.prompt == "ein Leuchtturm 🗼"
    assert asked.media_type == media_pb2.MEDIA_TYPE_IMAGE
    assert asked.orientation == "portrait"
    assert asked.duration.ToMilliseconds() == 2500
    assert asked.count == 3
    assert asked.parameters["deep"][1] is True
    assert asked.image_url == "https://example.org/a.png"
    assert list(asked.input_object_ids) == [OBJECT]
    assert asked.cache == "prefer"


async def test_an_idempotency_key_stands_for_the_raw_body(bff: Bff, backend: Backend) -> None:
    """D15: the gateway compares bytes, not what they mean."""
    one = messages.generation()
    backend.answers["CreateGeneration"] = generation_pb2.CreateGenerationResponse(
        generation=one, replayed=True
    )
    raw = b'{ "model":"m",  "prompt":"p" }'
    headers = {"Authorization": f"Bearer {token()}", "Idempotency-Key": "order-66"}
    answer = await bff.call("POST", "/api/v1/sora/generate", data=raw, headers=headers)

    assert answer.status == 202
    assert answer.headers["Idempotency-Replayed"] == "true"
    asked = backend.asked("CreateGeneration")[0]
    assert asked.idempotency_key == "order-66"
    assert asked.request_digest == hashlib.sha256(raw).digest()


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


async def test_a_list_is_narrowed_by_the_query(bff: Bff, backend: Backend) -> None:
    backend.answers["ListGenerations"] = generation_pb2.ListGenerationsResponse(
        generations=[messages.generation()],
        next_page_token="next",
        total=41,
        video_count=40,
        image_count=1,
    )
    query = (
        "status=pending,generating&storage_type=s3,local,none&media_type=video"
        "&q=light%20house&page_size=7&page_token=abc&include=total,counts&other=1"
    )
    answer = await bff.call("GET", f"/api/v1/sora/generations?{query}")

    page = await answer.json()
    assert answer.status == 200
    assert [item["id"] for item in page["items"]] == [GENERATION]
    assert page["next_page_token"] == "next"
    assert page["total"] == 41
    assert page["counts"] == {"all": 41, "video": 40, "image": 1}
    asked = backend.asked("ListGenerations")[0]
    assert list(asked.statuses) == [1, 2]
    assert list(asked.storage_types) == [2, 3, 1]
    assert list(asked.media_types) == [1]
    assert (asked.query, asked.page_size, asked.page_token) == ("light house", 7, "abc")
    assert asked.include_total
    assert asked.include_counts
    assert not asked.all_users


async def test_a_list_counts_only_when_asked(bff: Bff, backend: Backend) -> None:
    backend.answers["ListGenerations"] = generation_pb2.ListGenerationsResponse(
        total=-1, video_count=-1, image_count=-1
    )
    answer = await bff.call("GET", "/api/v1/sora/generations?status=&include=")

    assert await answer.json() == {"items": [], "next_page_token": None}
    assert backend.asked("ListGenerations")[0].page_size == 20


async def test_a_list_may_be_given_by_repeating_its_name(bff: Bff, backend: Backend) -> None:
    backend.answers["ListGenerations"] = generation_pb2.ListGenerationsResponse()
    answer = await bff.call("GET", "/api/v1/sora/generations?status=failed&status=cancelled")

    assert answer.status == 200
    assert list(backend.asked("ListGenerations")[0].statuses) == [4, 5]


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
    ("method", "tail", "rpc", "status"),
    [
        ("GET", "", "GetGeneration", 200),
        ("DELETE", "", "DeleteGeneration", 204),
        ("POST", "/cancel", "CancelGeneration", 200),
        ("POST", "/save", "SaveGeneration", 200),
        ("POST", "/retry", "RetryGeneration", 202),
    ],
)
async def test_one_work_is_shown_and_changed(
    bff: Bff, backend: Backend, method: str, tail: str, rpc: str, status: int
) -> None:
    answer = await bff.call(method, _ONE + tail)

    assert answer.status == status
    assert backend.asked(rpc)[0].generation_id == GENERATION
    if status == 204:
        assert await answer.read() == b""
    elif rpc == "RetryGeneration":
        assert await answer.json() == {"generation_id": GENERATION, "status": "pending"}
        assert answer.headers["Location"] == _ONE
    else:
        assert (await answer.json())["id"] == GENERATION


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/sora/generations/{}"),
        ("DELETE", "/api/v1/sora/generations/{}"),
        ("POST", "/api/v1/sora/generations/{}/cancel"),
        ("POST", "/api/v1/sora/generations/{}/save"),
        ("POST", "/api/v1/sora/generations/{}/retry"),
        ("GET", "/api/v1/sora/media/{}"),
    ],
)
async def test_an_id_that_is_no_id_is_400(bff: Bff, method: str, path: str) -> None:
    spelt_otherwise = (GENERATION[:-1], GENERATION.replace("-", ""), f"{{{GENERATION}}}")
    for bad in ("x", "123", *spelt_otherwise, "%00", "%FF", "%ED%A0%80", "%F0%9F%97%BC"):
        answer = await bff.call(method, path.format(bad))

        assert answer.status == 400, bad
        assert (await answer.json())["errors"][0]["field"] in ("id", "object_id")


async def test_save_and_retry_say_that_they_are_not_there_yet(bff: Bff, backend: Backend) -> None:
    del backend.answers["SaveGeneration"], backend.answers["RetryGeneration"]
    save = await bff.call("POST", _ONE + "/save")
    retry = await bff.call("POST", _ONE + "/retry")

    assert (save.status, retry.status) == (501, 501)
    assert (await save.json())["code"] == "unimplemented"


async def test_a_record_has_every_field_of_the_contract(bff: Bff, backend: Backend) -> None:
    parameters = Struct()
    parameters.update({"seed": 7, "strength": 0.5})
    done = messages.generation(
        run=1,
        rev=812,
        status=generation_pb2.GENERATION_STATUS_COMPLETED,
        stage=generation_pb2.GENERATION_STAGE_STORED,
        storage_type=generation_pb2.STORAGE_TYPE_LOCAL,
        progress_percent=100,
        parameters=parameters,
        input_urls=["https://example.org/a.png"],
        media=[
            generation_pb2.Media(
                object_id=OBJECT,
                content_type="video/mp4",
                size_bytes=1234,
                width=1280,
                height=720,
                duration=Duration(seconds=9, nanos=500_000_000),
            ),
            generation_pb2.Media(
                object_id=GENERATION,
                url="https://cdn.example/2.mp4",
                thumbnail_url="https://cdn.example/2.jpg",
            ),
        ],
        size_bytes=2468,
        notice=generation_pb2.Notice(code="stored_locally", message="Kept on the server."),
        retry_count=1,
        start_time=Timestamp(seconds=1_760_000_001),
        end_time=Timestamp(seconds=1_760_000_009, nanos=120_000_000),
        can_retry=True,
    )
    backend.answers["GetGeneration"] = generation_pb2.GetGenerationResponse(generation=done)
    answer = await bff.call("GET", _ONE)

    TypeAdapter(Generation).validate_json(await answer.read(), strict=True)
    local = f"/api/v1/sora/media/{OBJECT}"
    assert answer.headers["Cache-Control"] == "no-store"
    assert await answer.json() == {
        "id": GENERATION,
        "run": 1,
        "rev": 812,
        "model": "sora2-landscape-10s",
        "prompt": "a lighthouse",
        "media_type": "video",
        "orientation": "landscape",
        "input_urls": ["https://example.org/a.png"],
        "parameters": {"seed": 7, "strength": 0.5},
        "status": "completed",
        "progress_percent": 100,
        "stage": "stored",
        "media_url": local,
        "media_urls": [local, "https://cdn.example/2.mp4"],
        "thumbnail_url": None,
        "media": [
            {
                "object_id": OBJECT,
                "url": local,
                "thumbnail_url": None,
                "content_type": "video/mp4",
                "size_bytes": 1234,
                "width": 1280,
                "height": 720,
                "duration_seconds": 9.5,
            },
            {
                "object_id": GENERATION,
                "url": "https://cdn.example/2.mp4",
                "thumbnail_url": "https://cdn.example/2.jpg",
                "content_type": "",
                "size_bytes": None,
                "width": None,
                "height": None,
                "duration_seconds": None,
            },
        ],
        "width": 1280,
        "height": 720,
        "duration_seconds": 9.5,
        "file_size_bytes": 2468,
        "storage_type": "local",
        "error": None,
        "notice": {"code": "stored_locally", "message": "Kept on the server."},
        "retry_count": 1,
        "cached": False,
        "credits": 10,
        "api_key_id": None,
        "created_at": "2025-10-09T08:53:20Z",
        "updated_at": "2025-10-09T08:53:20Z",
        "started_at": "2025-10-09T08:53:21Z",
        "completed_at": "2025-10-09T08:53:29.120Z",
        "estimated_completion_at": None,
        "expires_at": None,
        "expired": False,
        "can_save": False,
        "can_retry": True,
    }

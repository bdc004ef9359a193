"""Works over HTTP: what is asked of the gateway, and what a program reads (D1, D4, D7, D15)."""

import hashlib

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


async def test_retry_says_that_it_is_not_there_yet(bff: Bff, backend: Backend) -> None:
    del backend.answers["RetryGeneration"]
    retry = await bff.call("POST", _ONE + "/retry")

    assert retry.status == 501
    assert (await retry.json())["code"] == "unimplemented"


async def test_g5_a_saved_work_is_shown_as_it_is_then(bff: Bff, backend: Backend) -> None:
    saved = messages.generation(
        status=generation_pb2.GENERATION_STATUS_COMPLETED,
        stage=generation_pb2.GENERATION_STAGE_STORED,
        storage_type=generation_pb2.STORAGE_TYPE_S3,
        size_bytes=5,
    )
    backend.answers["SaveGeneration"] = generation_pb2.SaveGenerationResponse(generation=saved)
    answer = await bff.call("POST", _ONE + "/save")

    assert answer.status == 200
    record = await answer.json()
    assert (record["id"], record["storage_type"]) == (GENERATION, "s3")
    assert (record["file_size_bytes"], record["can_save"]) == (5, False)


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
                has_thumbnail=True,
            ),
            generation_pb2.Media(
                object_id=GENERATION,
                url="https://cdn.example/2.mp4",
                thumbnail_url="https://cdn.example/2.jpg",
                has_thumbnail=True,
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
        "thumbnail_url": f"{local}?thumbnail=1",
        "media": [
            {
                "object_id": OBJECT,
                "url": local,
                "thumbnail_url": f"{local}?thumbnail=1",
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

"""The Videos API: what is accepted, refused, listed, sent and removed (J6)."""

import asyncio
import base64
import io
from pathlib import Path
from typing import Any

import aiohttp
import av
import psutil
import pytest
from PIL import Image, ImageStat

from tests.unit.studio.upstream import SMALL, Upstream


def renderers() -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process().children(recursive=True)
        if "services.studio.render" in " ".join(child.cmdline())
    ]


async def test_a_prompt_becomes_a_video_that_can_be_fetched(upstream: Upstream) -> None:
    video = await upstream.submit(metadata={"run": "1"})
    assert {key: video[key] for key in ("object", "status", "progress", "seconds", "size", "prompt")} == {
        "object": "video", "status": "queued", "progress": 0, **SMALL,
    }  # fmt: skip
    assert (video["error"], video["metadata"], video["model"]) == (None, {"run": "1"}, "sora-2")
    done = await upstream.ended(video["id"])
    assert (done["status"], done["progress"], done["error"]) == ("completed", 100, None)
    assert done["expires_at"] - done["completed_at"] == 24 * 3600
    status, content, headers = await upstream.bytes_of(f"/v1/videos/{video['id']}/content")
    assert (status, headers["Content-Type"]) == (200, "video/mp4")
    with av.open(io.BytesIO(content)) as container:
        assert (container.streams.video[0].width, container.streams.video[0].frames) == (128, 24)
    status, content, headers = await upstream.bytes_of(
        f"/v1/videos/{video['id']}/content?variant=thumbnail"
    )
    assert (status, headers["Content-Type"], content[8:12]) == (200, "image/webp", b"WEBP")


async def test_progress_counts_the_frames_and_never_falls(upstream: Upstream) -> None:
    await upstream.behave(render_seconds=1.5)
    video = await upstream.submit()
    seen: list[int] = []

    def note(current: Any) -> bool:
        seen.append(current["progress"])
        return bool(current["status"] == "completed")

    await upstream.until(video["id"], note)
    assert seen == sorted(seen)
    assert len(set(seen)) > 5
    assert seen[-1] == 100


async def test_ranges_etag_and_head_are_answered(upstream: Upstream) -> None:
    video = await upstream.submit()
    await upstream.ended(video["id"])
    path = f"/v1/videos/{video['id']}/content"
    _, whole, headers = await upstream.bytes_of(path)
    status, part, ranged = await upstream.bytes_of(path, Range="bytes=10-29")
    assert (status, part, ranged["Content-Range"]) == (
        206,
        whole[10:30],
        f"bytes 10-29/{len(whole)}",
    )
    status, part, _ = await upstream.bytes_of(path, Range="bytes=-5")
    assert (status, part) == (206, whole[-5:])
    assert (await upstream.bytes_of(path, Range=f"bytes={len(whole)}-"))[0] == 416
    assert (await upstream.bytes_of(path, If_None_Match=headers["ETag"]))[0] == 304
    status, body = await upstream.ask("HEAD", path)
    assert (status, body) == (200, b"")


async def test_one_idempotency_key_is_one_render_and_one_submit(upstream: Upstream) -> None:
    first = await upstream.submit("key-1")
    again = await asyncio.gather(*(upstream.submit("key-1") for _ in range(10)))
    assert {video["id"] for video in again} == {first["id"]}
    log = await upstream.log()
    assert [entry["id"] for entry in log["submits"]] == [first["id"]]
    assert len(log["replays"]) == 10
    assert log["submits"][0]["idempotency_key"] == "key-1"
    assert log["submits"][0]["prompt"] == SMALL["prompt"]


async def test_a_key_used_for_another_request_or_a_deleted_video_is_a_conflict(
    upstream: Upstream,
) -> None:
    video = await upstream.submit("key-1")
    status, answer = await upstream.ask(
        "POST", "/v1/videos", json={**SMALL, "prompt": "another"}, Idempotency_Key="key-1"
    )
    assert (status, answer["error"]["code"]) == (409, "idempotency_key_reused")
    await upstream.ask("DELETE", f"/v1/videos/{video['id']}")
    status, answer = await upstream.ask("POST", "/v1/videos", json=SMALL, Idempotency_Key="key-1")
    assert (status, answer["error"]["code"]) == (409, "video_deleted")
    assert len((await upstream.log())["submits"]) == 1


async def test_delete_aborts_a_running_render(upstream: Upstream, tmp_path: Path) -> None:
    await upstream.behave(render_seconds=60)
    video = await upstream.submit()
    await upstream.until(video["id"], lambda current: current["progress"] > 0)
    assert len(renderers()) == 1
    status, answer = await upstream.ask("DELETE", f"/v1/videos/{video['id']}")
    assert (status, answer) == (
        200,
        {"id": video["id"], "object": "video.deleted", "deleted": True},
    )
    assert renderers() == []
    assert (await upstream.ask("GET", f"/v1/videos/{video['id']}"))[0] == 404
    assert list((tmp_path / "studio" / "videos").iterdir()) == []


async def test_at_most_two_render_at_once_and_the_others_wait(upstream: Upstream) -> None:
    await upstream.behave(render_seconds=60)
    videos = [await upstream.submit() for _ in range(4)]
    for video in videos[:2]:
        await upstream.until(video["id"], lambda current: current["progress"] > 0)
    states = [
        (await upstream.ask("GET", f"/v1/videos/{video['id']}"))[1]["status"] for video in videos
    ]
    assert states == ["in_progress", "in_progress", "queued", "queued"]
    assert len(renderers()) == 2


async def test_the_list_is_paged_in_both_orders(upstream: Upstream) -> None:
    await upstream.behave(instant=True)
    ids = [(await upstream.submit())["id"] for _ in range(5)]
    _, page = await upstream.ask("GET", "/v1/videos?limit=2")
    assert [video["id"] for video in page["data"]] == [ids[4], ids[3]]
    assert (page["object"], page["has_more"], page["last_id"]) == ("list", True, ids[3])
    _, rest = await upstream.ask("GET", f"/v1/videos?after={ids[3]}")
    assert [video["id"] for video in rest["data"]] == ids[2::-1]
    _, forward = await upstream.ask("GET", "/v1/videos?order=asc&limit=3")
    assert [video["id"] for video in forward["data"]] == ids[:3]
    for query in ("limit=0", "limit=x", "order=up", "after=nothing"):
        assert (await upstream.ask("GET", f"/v1/videos?{query}"))[0] == 400


@pytest.mark.parametrize(
    ("changes", "param", "code"),
    [
        ({"prompt": None}, "prompt", "missing_required_parameter"),
        ({"prompt": "  "}, "prompt", "missing_required_parameter"),
        ({"prompt": 7}, "prompt", "missing_required_parameter"),
        ({"prompt": "x" * 32_001}, "prompt", "string_too_long"),
        ({"model": "sora-9"}, "model", "model_not_found"),
        ({"seconds": "0"}, "seconds", "invalid_value"),
        ({"seconds": "61"}, "seconds", "invalid_value"),
        ({"seconds": "1.5"}, "seconds", "invalid_value"),
        ({"seconds": True}, "seconds", "invalid_value"),
        ({"size": "1280*720"}, "size", "invalid_value"),
        ({"size": "1281x720"}, "size", "invalid_value"),
        ({"size": "32x32"}, "size", "invalid_value"),
        ({"size": "2048x2048"}, "size", "invalid_value"),
        ({"size": 5}, "size", "invalid_value"),
        ({"metadata": [1]}, "metadata", "invalid_value"),
        ({"input_reference": "http://127.0.0.1/a.png"}, "input_reference", "invalid_value"),
        ({"input_reference": "data:image/png;base64,AAAA"}, "input_reference", "invalid_value"),
        ({"input_reference": "data:image/png;base64,*"}, "input_reference", "invalid_value"),
    ],
)
async def test_a_wrong_field_is_named(
    upstream: Upstream, changes: dict[str, Any], param: str, code: str
) -> None:
    status, answer = await upstream.ask("POST", "/v1/videos", json={**SMALL, **changes})
    assert (status, answer["error"]["param"], answer["error"]["code"]) == (400, param, code)
    assert answer["error"]["type"] == "invalid_request_error"
    assert param in answer["error"]["message"]
    assert (await upstream.log())["submits"] == []


async def test_a_body_that_is_not_json_is_refused(upstream: Upstream) -> None:
    for body in (b"{", b"[]", b"", b"\xff", b'{"prompt": "\\ud800"}'):
        status, answer = await upstream.ask("POST", "/v1/videos", data=body)
        assert (status, answer["error"]["code"]) == (400, "invalid_json")


async def test_a_form_with_a_picture_is_accepted_and_the_picture_shows(upstream: Upstream) -> None:
    red = io.BytesIO()
    Image.new("RGB", (64, 64), (230, 20, 20)).save(red, "PNG")
    form = aiohttp.FormData({**SMALL, "metadata": '{"a": 1}'})
    form.add_field("input_reference", red.getvalue(), filename="red.png", content_type="image/png")
    status, video = await upstream.ask("POST", "/v1/videos", data=form)
    assert (status, video["metadata"]) == (200, {"a": 1})
    await upstream.ended(video["id"])
    _, thumbnail, _ = await upstream.bytes_of(f"/v1/videos/{video['id']}/content?variant=thumbnail")
    with Image.open(io.BytesIO(thumbnail)) as picture:
        red_level, green_level, _ = ImageStat.Stat(picture.crop((0, 0, 128, 30))).mean
    assert red_level > 150
    assert green_level < 100
    link = "data:image/png;base64," + base64.b64encode(red.getvalue()).decode()
    assert (await upstream.submit(input_reference={"image_url": link}))["status"] == "queued"


async def test_content_that_is_not_there_yet_and_unknown_things_are_told(
    upstream: Upstream,
) -> None:
    await upstream.behave(render_seconds=60)
    video = await upstream.submit()
    status, answer = await upstream.ask("GET", f"/v1/videos/{video['id']}/content")
    assert (status, answer["error"]["code"]) == (409, "video_not_ready")
    status, answer = await upstream.ask("GET", f"/v1/videos/{video['id']}/content?variant=poster")
    assert (status, answer["error"]["param"]) == (400, "variant")
    for method, path in (
        ("GET", "/v1/videos/x"),
        ("DELETE", "/v1/videos/x"),
        ("GET", "/v1/videos/x/content"),
    ):
        status, answer = await upstream.ask(method, path)
        assert (status, answer["error"]["code"]) == (404, "video_not_found")
    assert (await upstream.ask("GET", "/v1/nothing"))[1]["error"]["code"] == "not_found"
    assert (await upstream.ask("PATCH", "/v1/videos"))[1]["error"]["code"] == "method_not_allowed"


async def test_everything_but_the_health_check_wants_the_key(upstream: Upstream) -> None:
    paths = (
        "/v1/videos",
        "/v1/models",
        "/studio/submits",
        "/studio/behaviour",
        "/v1/videos/x/content",
        "/no",
    )
    async with aiohttp.ClientSession() as stranger:
        for path in paths:
            for header in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer ключ"}):
                async with stranger.get(upstream.origin + path, headers=header) as answer:
                    assert answer.status == 401
                    assert (await answer.json())["error"]["code"] == "invalid_api_key"
        async with stranger.get(upstream.origin + "/healthz") as answer:
            assert answer.status == 200


async def test_models_are_listed(upstream: Upstream) -> None:
    _, answer = await upstream.ask("GET", "/v1/models")
    assert {"sora-2", "sora-2-pro", "gpt-image-1"} <= {model["id"] for model in answer["data"]}

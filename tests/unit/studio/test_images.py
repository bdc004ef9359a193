"""The Images API makes real pictures with the prompt on them (J6)."""

import asyncio
import base64
import io
from typing import Any

import aiohttp
import pytest
from PIL import Image

from tests.unit.studio.upstream import Upstream

WANTED = {"prompt": "A planet", "model": "studio-image", "size": "192x128"}


async def generate(upstream: Upstream, key: str | None = None, **changes: Any) -> tuple[int, Any]:
    headers = {"Idempotency_Key": key} if key else {}
    return await upstream.ask(
        "POST", "/v1/images/generations", json={**WANTED, **changes}, **headers
    )


async def test_links_open_real_pictures_without_the_key_and_differ(upstream: Upstream) -> None:
    status, answer = await generate(upstream, n=2)
    assert status == 200
    contents = []
    async with aiohttp.ClientSession() as stranger:
        for entry in answer["data"]:
            async with stranger.get(entry["url"]) as picture:
                assert (picture.status, picture.content_type) == (200, "image/png")
                contents.append(await picture.read())
        async with stranger.get(upstream.origin + "/studio/images/key-1.json") as picture:
            assert picture.status == 404
    assert contents[0] != contents[1]
    with Image.open(io.BytesIO(contents[0])) as picture:
        assert (picture.format, picture.size) == ("PNG", (192, 128))


async def test_gpt_image_models_always_answer_with_the_bytes(upstream: Upstream) -> None:
    for changes in ({"model": "gpt-image-1"}, {"response_format": "b64_json"}):
        _, answer = await generate(upstream, **changes)
        with Image.open(io.BytesIO(base64.b64decode(answer["data"][0]["b64_json"]))) as picture:
            assert picture.size == (192, 128)


async def test_the_same_key_gets_the_same_pictures_also_at_once(upstream: Upstream) -> None:
    answers = await asyncio.gather(*(generate(upstream, "key-1") for _ in range(4)))
    assert all(answer == answers[0] for answer in answers)
    log = await upstream.log()
    assert (len(log["submits"]), len(log["replays"])) == (1, 3)
    assert (await generate(upstream, "key-1", prompt="another"))[0] == 409


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"prompt": ""}, "prompt"),
        ({"model": "sora-2"}, "model"),
        ({"n": 0}, "n"),
        ({"n": 11}, "n"),
        ({"n": "2"}, "n"),
        ({"size": "big"}, "size"),
        ({"size": "4096x4096"}, "size"),
        ({"response_format": "gif"}, "response_format"),
        ({"output_format": "jpeg"}, "output_format"),
        ({"stream": True}, "stream"),
    ],
)
async def test_a_wrong_field_is_named(
    upstream: Upstream, changes: dict[str, Any], param: str
) -> None:
    status, answer = await generate(upstream, **changes)
    assert (status, answer["error"]["param"]) == (400, param)


async def test_the_knobs_hold_for_images_too(upstream: Upstream) -> None:
    await upstream.behave(submit_status=500)
    assert (await generate(upstream))[0] == 500
    await upstream.behave(fail_with={"code": "moderation_blocked", "times": 1})
    status, answer = await generate(upstream)
    assert (status, answer["error"]["code"]) == (400, "moderation_blocked")
    assert (await generate(upstream))[0] == 200

"""The knobs: each does what README.md says of it."""

import asyncio
import hashlib
import time

import aiohttp
import pytest

from services.studio.content import SyntheticBody, digest
from tests.unit.studio.upstream import SMALL, Upstream


async def test_knobs_are_shown_turned_one_by_one_and_reset(upstream: Upstream) -> None:
    _, rest = await upstream.ask("GET", "/studio/behaviour")
    await upstream.behave(render_seconds=3)
    await upstream.behave(instant=True)
    _, turned = await upstream.ask("GET", "/studio/behaviour")
    assert turned == {**rest, "render_seconds": 3, "instant": True}
    assert (await upstream.ask("DELETE", "/studio/behaviour"))[1] == rest


@pytest.mark.parametrize(
    "knobs",
    [{"unknown": 1}, {"render_seconds": -1}, {"submit_status": 200}, {"synthetic_bytes": 1}],
)
async def test_a_knob_that_is_wrong_is_named(upstream: Upstream, knobs: dict[str, int]) -> None:
    status, answer = await upstream.ask("PUT", "/studio/behaviour", json=knobs)
    assert status == 400
    assert answer["error"]["param"].startswith(next(iter(knobs)))


async def test_render_seconds_holds_a_render(upstream: Upstream) -> None:
    await upstream.behave(render_seconds=1.2)
    began = time.monotonic()
    await upstream.ended((await upstream.submit())["id"])
    assert time.monotonic() - began >= 1.2


async def test_submit_delay_comes_after_accepting(upstream: Upstream) -> None:
    await upstream.behave(submit_delay_seconds=1, instant=True)
    submit = asyncio.create_task(upstream.submit())
    while not (await upstream.log())["submits"]:
        await asyncio.sleep(0.02)
    assert not submit.done()
    await submit


async def test_a_lost_answer_was_accepted_and_the_key_finds_it(upstream: Upstream) -> None:
    await upstream.behave(submit_lost=1, instant=True)
    with pytest.raises(aiohttp.ClientError):
        await upstream.submit("key-1")
    accepted = (await upstream.log())["submits"]
    assert len(accepted) == 1
    assert (await upstream.submit("key-1"))["id"] == accepted[0]["id"]
    assert (await upstream.submit("key-2"))["id"] != accepted[0]["id"]


async def test_every_answer_is_lost_until_reset(upstream: Upstream) -> None:
    await upstream.behave(submit_lost=True, instant=True)
    for key in ("a", "b"):
        with pytest.raises(aiohttp.ClientError):
            await upstream.submit(key)
    await upstream.behave(submit_lost=False)
    await upstream.submit("c")
    assert len((await upstream.log())["submits"]) == 3


async def test_submits_are_refused_as_often_as_asked_and_not_accepted(upstream: Upstream) -> None:
    await upstream.behave(
        instant=True,
        submit_status={"status": 429, "times": 2, "code": "rate_limited", "retry_after_seconds": 7},
    )
    for _ in range(2):
        status, answer = await upstream.ask("POST", "/v1/videos", json=SMALL)
        assert (status, answer["error"]["code"]) == (429, "rate_limited")
    await upstream.submit()
    await upstream.behave(submit_status=503)
    assert (await upstream.ask("POST", "/v1/videos", json=SMALL))[0] == 503
    assert len((await upstream.log())["submits"]) == 1


async def test_a_render_fails_as_told_and_the_next_does_not(upstream: Upstream) -> None:
    await upstream.behave(
        fail_with={"code": "moderation_blocked", "message": "No.", "times": 1}, instant=True
    )
    failed = await upstream.ended((await upstream.submit())["id"])
    assert (failed["status"], failed["error"]) == (
        "failed",
        {"code": "moderation_blocked", "message": "No."},
    )
    assert failed["progress"] < 100
    assert (await upstream.ended((await upstream.submit())["id"]))["status"] == "completed"


async def test_instant_content_is_one_tiny_real_video(upstream: Upstream) -> None:
    await upstream.behave(instant=True)
    contents = set()
    for _ in range(2):
        video = await upstream.submit()
        await upstream.ended(video["id"])
        contents.add((await upstream.bytes_of(f"/v1/videos/{video['id']}/content"))[1])
    assert len(contents) == 1
    content = contents.pop()
    assert content[4:8] == b"ftyp"
    assert len(content) < 8192


async def test_expired_content_is_gone(upstream: Upstream) -> None:
    await upstream.behave(instant=True, expires_in_seconds=0.3)
    video = await upstream.submit()
    done = await upstream.ended(video["id"])
    assert done["expires_at"] is not None
    await asyncio.sleep(0.35)
    status, answer = await upstream.ask("GET", f"/v1/videos/{video['id']}/content")
    assert (status, answer["error"]["code"]) == (404, "video_expired")
    assert (await upstream.ask("GET", f"/v1/videos/{video['id']}"))[1]["status"] == "completed"


async def test_synthetic_content_is_deterministic_ranged_and_looks_like_a_video(
    upstream: Upstream,
) -> None:
    size = 3 * 2**20 + 12_345
    await upstream.behave(synthetic_bytes=size)
    video = await upstream.submit()
    await upstream.ended(video["id"])
    path = f"/v1/videos/{video['id']}/content"
    _, whole, headers = await upstream.bytes_of(path)
    assert (len(whole), headers["Content-Length"]) == (size, str(size))
    assert hashlib.sha256(whole).hexdigest() == digest(SyntheticBody(video["id"], size))
    assert whole[4:8] == b"ftyp"
    for first, last in ((0, 0), (20, 60), (2**20 - 3, 2**20 + 9), (size - 1, size - 1)):
        status, part, _ = await upstream.bytes_of(path, Range=f"bytes={first}-{last}")
        assert (status, part) == (206, whole[first : last + 1])
    assert (await upstream.bytes_of(path, Range="bytes=-7"))[1] == whole[-7:]
    assert (await upstream.bytes_of(path, Range=f"bytes={size}-"))[0] == 416
    assert (await upstream.bytes_of(path, Range="bytes=9-1"))[0] == 416
    assert (await upstream.bytes_of(path, If_None_Match=headers["ETag"]))[0] == 304
    stale = await upstream.bytes_of(path, Range="bytes=0-1", If_Range='"old"')
    assert (stale[0], len(stale[1])) == (200, size)
    other = await upstream.submit()
    assert digest(SyntheticBody(other["id"], size)) != digest(SyntheticBody(video["id"], size))


async def test_content_is_sent_as_slowly_as_asked(upstream: Upstream) -> None:
    await upstream.behave(synthetic_bytes=60_000, content_bytes_per_second=100_000)
    video = await upstream.submit()
    await upstream.ended(video["id"])
    began = time.monotonic()
    _, content, _ = await upstream.bytes_of(f"/v1/videos/{video['id']}/content")
    assert (len(content), time.monotonic() - began > 0.4) == (60_000, True)


async def test_a_rendered_file_can_be_sent_slowly_too(upstream: Upstream) -> None:
    await upstream.behave(instant=True)
    video = await upstream.submit()
    await upstream.ended(video["id"])
    path = f"/v1/videos/{video['id']}/content"
    _, fast, headers = await upstream.bytes_of(path)
    await upstream.behave(content_bytes_per_second=20_000)
    _, slow, slow_headers = await upstream.bytes_of(path)
    assert (slow, slow_headers["ETag"]) == (fast, headers["ETag"])

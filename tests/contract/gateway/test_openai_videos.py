"""The adapter of dialect `openai_videos` against servers that speak it (B4, B7, D8)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web

from services.gateway.providers.openai_videos import OpenAIVideos
from services.gateway.providers.port import (
    Account,
    Job,
    SubmitRefused,
    SubmitUnknown,
    TaskGone,
    TaskState,
    UpstreamTrouble,
)
from services.kernel.egress import Egress, Policy
from services.studio.app import make_app

KEY = "studio-key"
JOB = Job("ref-0-1", "sora-2", "a paper boat", "video", "1280x720", 10, 1, {})

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def _serving(app: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(app, shutdown_timeout=0.2)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


def _account(base_url: str, **options: Any) -> Account:
    return Account("id", "one", "openai_videos", base_url, KEY, {}, options)


@pytest.fixture
async def provider() -> AsyncIterator[OpenAIVideos]:
    async with Egress(Policy(), keepalive_seconds=0) as egress:
        yield OpenAIVideos(egress)


@pytest.fixture
async def studio(tmp_path: Path) -> AsyncIterator[Account]:
    async with _serving(make_app(tmp_path, KEY)) as url:
        account = _account(url, can_find=True, idempotent_submit=True)
        await _behave(account, {"instant": True})
        yield account


async def _behave(account: Account, knobs: dict[str, Any]) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    async with (
        ClientSession() as session,
        session.put(f"{account.base_url}/studio/behaviour", json=knobs, headers=headers) as answer,
    ):
        assert answer.status == 200, await answer.text()


async def _until_ended(provider: OpenAIVideos, account: Account, task: str) -> TaskState:
    while (state := await provider.poll(account, task)).status == "running":
        await asyncio.sleep(0.02)
    return state


async def test_b7_a_video_is_submitted_followed_and_fetched(
    provider: OpenAIVideos, studio: Account
) -> None:
    task = await provider.submit(studio, JOB)
    state = await _until_ended(provider, studio, task)
    (result,) = state.results
    assert result.expires_at is not None
    source = provider.source(studio, result.url)
    assert source.trusted_origin == studio.base_url
    async with ClientSession() as session:
        async with session.get(source.url, headers=source.headers) as answer:
            assert answer.content_type == "video/mp4"
        async with session.get(source.url) as answer:
            assert answer.status == 401, "content needs the credential"


async def test_b7_a_failed_video_says_why(provider: OpenAIVideos, studio: Account) -> None:
    for code, ours in (("moderation_blocked", "content_policy"), ("gpu_on_fire", "upstream_error")):
        await _behave(studio, {"fail_with": {"code": code, "message": "No."}})
        task = await provider.submit(studio, replace(JOB, reference=code))
        state = await _until_ended(provider, studio, task)
        assert (state.status, state.error_code, state.error_message) == ("failed", ours, "No.")


async def test_d8_a_lost_answer_is_unknown_and_the_task_is_found_by_its_reference(
    provider: OpenAIVideos, studio: Account
) -> None:
    await _behave(studio, {"submit_lost": 1})
    with pytest.raises(SubmitUnknown):
        await provider.submit(studio, JOB)
    found = await provider.find(studio, JOB.reference)
    assert found is not None
    assert await provider.submit(studio, JOB) == found, "the same reference is the same task"
    assert await provider.find(studio, "another") is None


async def test_a_task_is_stopped_and_gone(provider: OpenAIVideos, studio: Account) -> None:
    await _behave(studio, {"instant": False, "render_seconds": 60})
    task = await provider.submit(studio, JOB)
    assert await provider.cancel(studio, task)
    with pytest.raises(TaskGone):
        await provider.poll(studio, task)
    assert await provider.cancel(studio, task), "stopping what is gone is no trouble"


@pytest.mark.parametrize("status", [401, 403, 404, 429, 503])
async def test_b4_what_is_the_accounts_trouble_may_go_elsewhere(
    status: int, provider: OpenAIVideos, studio: Account
) -> None:
    await _behave(studio, {"submit_status": {"status": status, "retry_after_seconds": 7}})
    with pytest.raises(SubmitRefused) as refusal:
        await provider.submit(studio, JOB)
    assert refusal.value.elsewhere
    assert refusal.value.retry_after == 7


async def test_b4_the_callers_4xx_is_his(provider: OpenAIVideos, studio: Account) -> None:
    with pytest.raises(SubmitRefused) as refusal:
        await provider.submit(studio, replace(JOB, size="1x1"))
    assert not refusal.value.elsewhere


async def test_b4_a_5xx_in_the_dialects_own_form_may_go_elsewhere_but_502_and_504_are_ambiguous(
    provider: OpenAIVideos, studio: Account
) -> None:
    await _behave(studio, {"submit_status": 500})
    with pytest.raises(SubmitRefused):
        await provider.submit(studio, JOB)
    for status in (502, 504):
        await _behave(studio, {"submit_status": status})
        with pytest.raises(SubmitUnknown):
            await provider.submit(studio, JOB)


async def test_b4_a_wrong_key_may_go_elsewhere(provider: OpenAIVideos, studio: Account) -> None:
    with pytest.raises(SubmitRefused) as refusal:
        await provider.submit(replace(studio, credential="wrong"), JOB)
    assert refusal.value.elsewhere


async def test_b4_a_server_that_is_not_there_was_surely_not_asked(provider: OpenAIVideos) -> None:
    with pytest.raises(SubmitRefused) as refusal:
        await provider.submit(_account("http://127.0.0.1:9"), JOB)
    assert refusal.value.elsewhere


async def _garbage(request: web.Request) -> web.Response:
    return web.Response(text="<html>nginx</html>")


async def _no_id(request: web.Request) -> web.Response:
    return web.json_response({"status": "dreaming"})


async def _plain_500(request: web.Request) -> web.Response:
    return web.Response(status=500, text="oops")


async def _endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b" " * 65_536)


@pytest.mark.parametrize("answer", [_garbage, _no_id, _plain_500, _endless])
async def test_b4_an_answer_that_says_nothing_is_ambiguous(
    answer: Answer, provider: OpenAIVideos
) -> None:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with _serving(app) as url:
        with pytest.raises(SubmitUnknown):
            await provider.submit(_account(url), JOB)
        with pytest.raises(UpstreamTrouble):
            await provider.poll(_account(url), "task")
        with pytest.raises(UpstreamTrouble):
            await provider.find(_account(url), "ref")


async def test_b7_strangers_get_neither_metadata_nor_an_idempotency_key(
    provider: OpenAIVideos,
) -> None:
    seen: list[tuple[dict[str, Any], str | None]] = []

    async def accept(request: web.Request) -> web.Response:
        seen.append((await request.json(), request.headers.get("Idempotency-Key")))
        return web.json_response({"id": "task"})

    app = web.Application()
    app.router.add_post("/v1/videos", accept)
    async with _serving(app) as url:
        assert (
            await provider.submit(replace(_account(url), model_map={"sora-2": "wan"}), JOB)
            == "task"
        )
    expected = {"model": "wan", "prompt": "a paper boat", "seconds": "10", "size": "1280x720"}
    assert seen == [(expected, None)]

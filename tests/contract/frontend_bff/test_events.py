"""Live changes as server-sent events: snapshot, resume, reset, end (D14)."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from reelgate.gateway.v1 import generation_pb2
from services.frontend_bff.routes import events
from services.kernel.errors import Unauthenticated, Unavailable
from tests.contract.frontend_bff import messages
from tests.contract.frontend_bff.conftest import Bff, token, until
from tests.contract.frontend_bff.fakes import Backend
from tests.contract.frontend_bff.messages import GENERATION

_PATH = "/api/v1/sora/events"


@asynccontextmanager
async def _listening(
    bff: Bff, query: str = "", **headers: str
) -> AsyncIterator[aiohttp.ClientResponse]:
    sent = {"Authorization": f"Bearer {token()}"} | headers
    async with bff.http.get(bff.url + _PATH + query, headers=sent) as response:
        yield response


async def _all(response: aiohttp.ClientResponse) -> list[dict[str, str]]:
    text = (await response.read()).decode()
    blocks = [block.splitlines() for block in text.split("\n\n") if block and block[0] != ":"]
    return [dict(line.split(": ", 1) for line in block) for block in blocks]


async def test_a_new_watcher_gets_a_snapshot_and_then_each_change(
    bff: Bff, backend: Backend
) -> None:
    backend.answers["WatchGenerations"] = [
        messages.changed(5),
        messages.heartbeat(6),
        messages.changed(7, progress_percent=40),
        messages.deleted(8),
    ]
    async with _listening(bff) as response:
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Accel-Buffering"] == "no"
        retry, first, seen, second, gone = await _all(response)

    assert backend.asked("WatchGenerations")[0].after_rev == 0
    assert retry == {"retry": "2000"}
    assert (first["event"], first["id"]) == ("generation", "5")
    assert json.loads(first["data"])["id"] == GENERATION
    assert seen == {"id": "6"}
    assert json.loads(second["data"])["progress_percent"] == 40
    assert (gone["event"], gone["id"]) == ("deleted", "8")
    assert json.loads(gone["data"]) == {"id": GENERATION, "rev": 8}


async def test_a_watcher_goes_on_from_what_it_saw_last(bff: Bff, backend: Backend) -> None:
    backend.answers["WatchGenerations"] = []
    for query, headers in (
        ("", {"Last-Event-ID": "812"}),
        ("?last_event_id=812", {}),
        ("?last_event_id=3", {"Last-Event-ID": "812"}),
    ):
        async with _listening(bff, query, **headers) as response:
            assert response.status == 200
            await response.read()

    assert [one.after_rev for one in backend.asked("WatchGenerations")] == [812, 812, 812]


async def test_a_watcher_that_is_too_far_behind_is_told_to_forget(
    bff: Bff, backend: Backend
) -> None:
    reset = generation_pb2.WatchGenerationsResponse(reset=generation_pb2.WatchReset())
    backend.answers["WatchGenerations"] = [reset, messages.changed(900)]
    async with _listening(bff, **{"Last-Event-ID": "1"}) as response:
        _, first, second = await _all(response)

    assert first == {"event": "reset", "data": "{}"}
    assert second["id"] == "900"


@pytest.mark.parametrize("bad", ["x", "-1", "1.5", str(2**63), "9" * 400])
async def test_a_last_event_id_that_is_none_is_400(bff: Bff, bad: str) -> None:
    async with _listening(bff, **{"Last-Event-ID": bad}) as response:
        assert response.status == 400
        assert (await response.json())["errors"][0]["field"] == "Last-Event-ID"


async def test_a_refusal_before_the_first_event_has_its_status(bff: Bff, backend: Backend) -> None:
    backend.answers["WatchGenerations"] = Unavailable("Not now.", retry_after=3)
    async with _listening(bff) as response:
        assert (response.status, response.headers["Retry-After"]) == (503, "3")

    async with _listening(bff, Authorization="Bearer nonsense") as response:
        assert response.status == 401


async def test_a_quiet_stream_opens_and_is_kept_alive_by_comments(
    bff: Bff, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "_OPEN_SECONDS", 0.05)
    monkeypatch.setattr(events, "_COMMENT_SECONDS", 0.05)
    backend.answers["WatchGenerations"] = [asyncio.Event()]
    async with _listening(bff) as response:
        lines = [await response.content.readline() for _ in range(6)]

    assert lines == [b"retry: 2000\n", b"\n", *[b": still here\n", b"\n"] * 2]


async def test_a_stream_ends_when_the_gateway_ends_it(bff: Bff, backend: Backend) -> None:
    backend.answers["WatchGenerations"] = [
        messages.changed(5),
        Unauthenticated("Over.", reason="TOKEN_EXPIRED"),
    ]
    async with _listening(bff) as response:
        assert response.status == 200
        assert len(await _all(response)) == 2


async def test_a_stream_ends_with_its_token(bff: Bff, backend: Backend) -> None:
    backend.answers["WatchGenerations"] = [messages.changed(5), asyncio.Event()]
    async with _listening(bff, Authorization=f"Bearer {token(1.2)}") as response:
        async with asyncio.timeout(5):
            assert len(await _all(response)) == 2

    await until(lambda: backend.cancelled == ["WatchGenerations"])


async def test_a_watcher_that_hangs_up_is_given_up_at_once(bff: Bff, backend: Backend) -> None:
    backend.answers["WatchGenerations"] = [messages.changed(5), asyncio.Event()]
    async with _listening(bff) as response:
        await response.content.readline()
        response.close()
        await until(lambda: backend.cancelled == ["WatchGenerations"])


async def test_streams_end_when_the_process_is_told_to_stop(bff: Bff, backend: Backend) -> None:
    backend.answers["WatchGenerations"] = [messages.changed(5), asyncio.Event()]
    async with _listening(bff) as response:
        await response.content.readline()
        bff.stopping.set()
        async with asyncio.timeout(10):
            await response.read()


async def test_an_event_stream_has_no_head(bff: Bff) -> None:
    assert (await bff.call("HEAD", _PATH)).status == 405

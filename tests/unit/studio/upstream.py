"""A running studio and its caller, for the tests of its API."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from services.studio.app import make_app

KEY = "studio-test-key"
SMALL = {"prompt": "Balloons over the mist", "seconds": "1", "size": "128x72"}


class Upstream:
    """The studio on a free port over a directory, and a client that has its key."""

    def __init__(self, directory: Path) -> None:
        self._server = TestServer(make_app(directory, KEY))
        self._session = aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"})

    async def __aenter__(self) -> Self:
        await self._server.start_server(shutdown_timeout=0.2)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()
        await self._server.close()

    @property
    def app(self) -> web.Application:
        """The application that is served."""
        assert isinstance(self._server.app, web.Application)
        return self._server.app

    @property
    def origin(self) -> str:
        """`http://127.0.0.1:port`."""
        return str(self._server.make_url("")).rstrip("/")

    async def ask(
        self, method: str, path: str, *, json: Any = None, data: Any = None, **headers: str
    ) -> tuple[int, Any]:
        """Status and decoded body. Headers are named with underscores for hyphens."""
        async with self._session.request(
            method, self.origin + path, json=json, data=data, headers=_named(headers)
        ) as answer:
            kind = answer.content_type
            return answer.status, await (
                answer.json() if kind == "application/json" else answer.read()
            )

    async def bytes_of(self, path: str, **headers: str) -> tuple[int, bytes, Mapping[str, str]]:
        """Status, body and headers of a GET."""
        async with self._session.get(self.origin + path, headers=_named(headers)) as answer:
            return answer.status, await answer.read(), answer.headers

    async def submit(self, key: str | None = None, **changes: Any) -> Any:
        """A small video's object."""
        headers = {"Idempotency_Key": key} if key else {}
        status, video = await self.ask("POST", "/v1/videos", json={**SMALL, **changes}, **headers)
        assert status == 200, video
        return video

    async def behave(self, **knobs: Any) -> None:
        """Turns knobs."""
        status, answer = await self.ask("PUT", "/studio/behaviour", json=knobs)
        assert status == 200, answer

    async def ended(self, video_id: str, seconds: float = 20) -> Any:
        """The video's object as soon as it is completed or failed."""
        return await self.until(
            video_id, lambda video: video["status"] in ("completed", "failed"), seconds
        )

    async def until(self, video_id: str, reached: Any, seconds: float = 20) -> Any:
        """The video's object as soon as `reached(object)`."""
        deadline = time.monotonic() + seconds
        while True:
            _, video = await self.ask("GET", f"/v1/videos/{video_id}")
            if reached(video):
                return video
            assert time.monotonic() < deadline, f"still {video}"
            await asyncio.sleep(0.03)

    async def log(self) -> Any:
        """`{submits, replays}`."""
        return (await self.ask("GET", "/studio/submits"))[1]


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}

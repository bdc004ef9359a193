"""Beginning and end: settings, readiness, draining, callers that hang up."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from pathlib import Path

import aiohttp

from reelgate.gateway.v1 import generation_pb2
from services.frontend_bff.app import serve
from services.frontend_bff.settings import Settings
from tests.contract.frontend_bff import messages
from tests.contract.frontend_bff.conftest import Bff, token, until
from tests.contract.frontend_bff.fakes import Backend
from tests.contract.frontend_bff.messages import GENERATION

_ONE = f"/api/v1/sora/generations/{GENERATION}"


def _environment(services: str, port: int) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": ".:protos/gen",
        "REELGATE_BFF_LISTEN": f"127.0.0.1:{port}",
        "REELGATE_BFF_ADMIN_LISTEN": "127.0.0.1:0",
        "REELGATE_GATEWAY_ADDRESS": services,
        "REELGATE_STORAGE_ADDRESS": services,
        "REELGATE_QUOTA_ADDRESS": services,
    }


async def _process(environment: dict[str, str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.frontend_bff",
        env=environment,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_the_process_serves_and_ends_on_sigterm_with_streams_open(
    services: str, backend: Backend
) -> None:
    backend.answers["WatchGenerations"] = [messages.changed(5), asyncio.Event()]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = await _process(_environment(services, port))
    try:
        url = f"http://127.0.0.1:{port}"
        headers = {"Authorization": f"Bearer {token()}"}
        async with aiohttp.ClientSession(headers=headers) as http, asyncio.timeout(30):
            while True:
                with contextlib.suppress(aiohttp.ClientConnectionError):
                    async with http.get(f"{url}/readyz") as ready:
                        assert ready.status == 200
                        break
                await asyncio.sleep(0.05)
            async with http.get(f"{url}/api/v1/sora/events") as stream:
                await stream.content.readline()
                process.send_signal(signal.SIGTERM)
                await stream.read()
            _, log = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()

    assert process.returncode == 0
    assert b"unexpected" not in log
    assert headers["Authorization"].encode() not in log


async def test_a_stopping_process_is_not_ready(bff: Bff) -> None:
    bff.stopping.set()
    answer = await bff.call("GET", "/readyz", headers={})

    assert answer.status == 503
    assert (await bff.call("GET", "/healthz", headers={})).status == 200


async def test_a_request_under_way_is_finished_before_the_end(
    services: str, backend: Backend, tmp_path: Path
) -> None:
    release = asyncio.Event()
    one = generation_pb2.GetGenerationResponse(generation=messages.generation())
    backend.answers["GetGeneration"] = [release, one]
    values = _environment(services, 0) | {"REELGATE_BFF_WEB_DIR": str(tmp_path)}
    settings = Settings(_env_file=None, **values)  # type: ignore[arg-type]
    headers = {"Authorization": f"Bearer {token()}"}
    async with aiohttp.ClientSession(headers=headers) as http:
        async with serve(settings, asyncio.Event()) as port:
            asked = asyncio.ensure_future(http.get(f"http://127.0.0.1:{port}{_ONE}"))
            await until(lambda: backend.asked("GetGeneration") != [])
            asyncio.get_running_loop().call_later(0.2, release.set)
        answer = await asked

    assert answer.status == 200


async def test_a_caller_that_hangs_up_does_not_stop_a_change(bff: Bff, backend: Backend) -> None:
    release, done = asyncio.Event(), asyncio.Event()

    def finish(_: object) -> generation_pb2.DeleteGenerationResponse:
        done.set()
        return generation_pb2.DeleteGenerationResponse()

    backend.answers["DeleteGeneration"] = [release, finish]
    await _hang_up(bff, backend, "DELETE", "DeleteGeneration")
    release.set()
    async with asyncio.timeout(5):
        await done.wait()

    assert backend.cancelled == []


async def test_a_caller_that_hangs_up_stops_what_was_for_him_alone(
    bff: Bff, backend: Backend
) -> None:
    backend.answers["GetGeneration"] = [asyncio.Event()]
    await _hang_up(bff, backend, "GET", "GetGeneration")

    await until(lambda: backend.cancelled == ["GetGeneration"])


async def _hang_up(bff: Bff, backend: Backend, method: str, rpc: str) -> None:
    asked = asyncio.ensure_future(bff.call(method, _ONE))
    await until(lambda: backend.asked(rpc) != [])
    asked.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asked

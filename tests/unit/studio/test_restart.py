"""The studio as a process: it stops fast, leaves nothing behind, and forgets no job."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import psutil

from services.studio.videos import STUDIO
from tests.unit.studio.upstream import KEY, SMALL, Upstream


async def test_an_interrupted_render_and_a_queued_one_are_taken_up_again(tmp_path: Path) -> None:
    async with Upstream(tmp_path) as first:
        await first.behave(render_seconds=1.2)
        videos = [await first.submit(f"key-{number}") for number in range(3)]
        await first.until(videos[0]["id"], lambda video: video["progress"] > 10)
    async with Upstream(tmp_path) as second:
        assert (await second.ask("GET", f"/v1/videos/{videos[0]['id']}"))[1]["progress"] == 0
        assert (await second.submit("key-0"))["id"] == videos[0]["id"]
        for video in videos:
            assert (await second.ended(video["id"]))["status"] == "completed"
        assert len((await second.log())["submits"]) == 3
        done = (await second.ask("GET", "/v1/videos?order=asc"))[1]["data"]
    async with Upstream(tmp_path) as third:
        assert (await third.ask("GET", "/v1/videos?order=asc"))[1]["data"] == done
        assert (await third.bytes_of(f"/v1/videos/{videos[2]['id']}/content"))[0] == 200


async def test_a_damaged_record_does_not_stop_the_start(tmp_path: Path) -> None:
    (tmp_path / "videos" / "video_x").mkdir(parents=True)
    (tmp_path / "videos" / "video_x" / "job.json").write_text("{")
    async with Upstream(tmp_path) as upstream:
        assert upstream.app[STUDIO].jobs.listed() == []


@contextmanager
def studio_process(directory: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    environment = {
        **os.environ,
        "REELGATE_STUDIO_LISTEN": f"127.0.0.1:{port}",
        "REELGATE_STUDIO_DIR": str(directory),
        "REELGATE_STUDIO_API_KEY": KEY,
    }
    process = subprocess.Popen([sys.executable, "-m", "services.studio"], env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def answering(session: aiohttp.ClientSession, origin: str) -> None:
    for _ in range(300):
        try:
            async with session.get(origin + "/healthz"):
                return
        except aiohttp.ClientConnectionError:
            await asyncio.sleep(0.05)
    raise AssertionError("the studio does not answer")


async def test_a_kill_leaves_no_renderer_and_sigterm_ends_it_at_once(
    tmp_path: Path,
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    origin = f"http://127.0.0.1:{port}"
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as session:
        with studio_process(tmp_path, port) as process:
            await answering(session, origin)
            await session.put(origin + "/studio/behaviour", json={"render_seconds": 4})
            async with session.post(origin + "/v1/videos", json=SMALL) as answer:
                video = await answer.json()
            renderers: list[psutil.Process] = []
            while not renderers:
                await asyncio.sleep(0.05)
                renderers = psutil.Process(process.pid).children()
            await asyncio.sleep(0.8)
            process.kill()
            gone, alive = await asyncio.to_thread(psutil.wait_procs, renderers, timeout=5)
            assert (len(gone), alive) == (1, [])
        with studio_process(tmp_path, port) as process:
            await answering(session, origin)
            async with session.get(f"{origin}/v1/videos/{video['id']}") as answer:
                assert (await answer.json())["status"] in ("queued", "in_progress")
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(process.wait, 5) == 0
            assert time.monotonic() - began < 4  # two on a machine that has nothing else to do
            assert not psutil.pid_exists(process.pid)


def test_a_wrong_setting_stops_the_start_with_one_line_that_names_it(tmp_path: Path) -> None:
    good = {
        "PATH": os.environ["PATH"],
        "REELGATE_STUDIO_LISTEN": "127.0.0.1:1",
        "REELGATE_STUDIO_DIR": str(tmp_path),
        "REELGATE_STUDIO_API_KEY": KEY,
    }
    for name, value in (("REELGATE_STUDIO_LISTEN", "nowhere"), ("REELGATE_STUDIO_API_KEY", "")):
        done = subprocess.run(
            [sys.executable, "-m", "services.studio"],
            env={**good, name: value}, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        assert done.returncode != 0
        assert len(done.stderr.strip().splitlines()) == 1
        assert name in done.stderr

"""E13: the process that draws thumbnails, with sound and with hostile files."""

import asyncio
import io
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import av
import pytest
from PIL import Image

from services.storage.objects import Tier
from services.storage.ports import TierFailed
from services.storage.sniff import sniff
from services.storage.thumbnailer.protocol import Job, Refusal, Thumbnail
from services.storage.thumbnails import process as thumbnail_process
from services.storage.thumbnails.process import ThumbnailerDiedError, ThumbnailProcess
from tests.integration.storage import media_files as files

MIB = 1024 * 1024


@pytest.fixture
async def process() -> AsyncIterator[ThumbnailProcess]:
    process = ThumbnailProcess()
    yield process
    await process.end()


def test_the_child_is_started_where_its_code_lies() -> None:
    """It has no PYTHONPATH: in a tree that is not installed it finds itself by its working directory."""
    code = thumbnail_process._ROOT / "services" / "storage" / "thumbnailer" / "__main__.py"
    assert code.is_file()


async def draw(process: ThumbnailProcess, data: bytes) -> Thumbnail | Refusal:
    kind = sniff(data[:512])
    assert kind is not None

    async def read(offset: int, length: int) -> bytes:
        return data[offset : offset + length]

    return await process.draw(Job(kind.content_type, len(data)), read)


def pid_of(process: ThumbnailProcess) -> int:
    assert process._child is not None
    return process._child.pid


def memory(pid: int, which: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(which):
            return int(line.split()[1]) * 1024
    raise AssertionError(which)


def near(colour: object, other: tuple[int, ...]) -> bool:
    assert isinstance(colour, tuple)
    return all(abs(a - b) < 12 for a, b in zip(colour, other, strict=False))


MAKERS: dict[str, tuple[Callable[[], bytes], tuple[int, int], int, tuple[int, int]]] = {
    "mp4": (files.film, (640, 360), 1000, (640, 360)),
    "mp4 with its index in front": (
        lambda: files.film(width=1280, height=720, movflags="faststart"),
        (1280, 720), 1000, (640, 360),
    ),
    "mov": (lambda: files.film("mov", width=360, height=640), (360, 640), 1000, (360, 640)),
    "webm": (lambda: files.film("webm", "libvpx-vp9"), (640, 360), 1000, (640, 360)),
    "mpeg4": (lambda: files.film("mp4", "mpeg4"), (640, 360), 1000, (640, 360)),
    "png": (lambda: files.picture("PNG"), (1200, 800), 0, (640, 427)),
    "jpeg": (lambda: files.picture("JPEG"), (1200, 800), 0, (640, 427)),
    "cmyk": (lambda: files.picture("JPEG", mode="CMYK"), (1200, 800), 0, (640, 427)),
    "webp": (lambda: files.picture("WEBP"), (1200, 800), 0, (640, 427)),
    "palette": (lambda: files.picture("PNG", mode="P"), (1200, 800), 0, (640, 427)),
    "lying jpeg": (files.lying_jpeg, (800, 1200), 0, (427, 640)),
    "moving gif": (lambda: files.animated("GIF"), (300, 200), 0, (300, 200)),
    "moving webp": (lambda: files.animated("WEBP"), (300, 200), 0, (300, 200)),
    "tiny": (lambda: files.picture("PNG", 2, 2), (2, 2), 0, (2, 2)),
    "a line": (lambda: files.picture("PNG", 4000, 2), (4000, 2), 0, (640, 1)),
}  # fmt: skip


@pytest.mark.parametrize("kind", MAKERS)
async def test_e13_what_is_kept_gets_a_small_picture_of_itself(
    process: ThumbnailProcess, kind: str
) -> None:
    make, size, duration_ms, small = MAKERS[kind]
    made = await draw(process, make())
    assert isinstance(made, Thumbnail)
    assert ((made.width, made.height), made.duration_ms) == (size, duration_ms)
    with Image.open(io.BytesIO(made.webp)) as shown:
        assert (shown.format, shown.size, shown.mode) == ("WEBP", small, "RGB")
        assert not shown.info.keys() & {"exif", "icc_profile", "xmp"}
        if small[1] > 8:
            assert near(shown.getpixel((small[0] // 2, small[1] // 5)), files.RED)
            assert near(shown.getpixel((small[0] // 2, small[1] * 4 // 5)), files.BLUE)


async def test_e13_what_can_be_seen_through_stays_so(process: ThumbnailProcess) -> None:
    clear = Image.new("RGBA", (1000, 1000), (255, 0, 0, 0))
    made = await draw(process, files.saved(clear, "PNG"))
    assert isinstance(made, Thumbnail)
    with Image.open(io.BytesIO(made.webp)) as shown:
        assert shown.mode == "RGBA"
        assert shown.getchannel("A").getextrema() == (0, 0)


async def test_e13_sixteen_bits_of_grey_are_as_bright_as_they_were(
    process: ThumbnailProcess,
) -> None:
    made = await draw(process, files.deep_png())
    assert isinstance(made, Thumbnail)
    with Image.open(io.BytesIO(made.webp)) as shown:
        grey = shown.convert("L")
        assert grey.getpixel((50, 20)) == pytest.approx(234, abs=8)
        assert grey.getpixel((50, 80)) == pytest.approx(20, abs=8)


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "header bomb": (lambda: files.png_of_size(50_000, 50_000), "TOO_MANY_PIXELS"),
    "ninety hours": (lambda: files.with_length(files.film(), 90), "TOO_LONG"),
    "comment that unpacks": (lambda: files.png_with_text_bomb(200 * MIB), "NOT_DECODABLE"),
    "frame larger than said": (
        lambda: files.with_vp8_pixels(files.film("webm", "libvpx"), 16_383), "NOT_DECODABLE",
    ),
    "frames in another file": (
        lambda: files.with_external_data(files.film("mov"), "/etc/passwd"), "NOT_DECODABLE",
    ),
    "png cut": (lambda: files.picture("PNG")[:-300], "NOT_DECODABLE"),
    "jpeg cut": (lambda: files.picture("JPEG")[:-900], "NOT_DECODABLE"),
    "mp4 cut": (lambda: files.film()[:2000], "NOT_DECODABLE"),
    "mp4 of noise": (lambda: files.film()[:40] + os.urandom(1000), "NOT_DECODABLE"),
    "png of noise": (lambda: b"\x89PNG\r\n\x1a\n" + os.urandom(1000), "NOT_DECODABLE"),
    "gif of 65,535 squared": (
        lambda: b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\2\0;", "TOO_MANY_PIXELS",
    ),
    "webp of noise": (lambda: b"RIFF\0\0\0\0WEBPVP8X" + os.urandom(1000), "NOT_DECODABLE"),
    "playlist": (
        lambda: files.film()[:40] + b"#EXTM3U\nfile:///etc/passwd\n", "NOT_DECODABLE",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
async def test_e13_bombs_and_rubbish_are_refused_for_next_to_nothing(
    process: ThumbnailProcess, kind: str
) -> None:
    make, reason = HOSTILE[kind]
    data = make()
    await draw(process, files.film(frames=1))
    pid, before = pid_of(process), memory(pid_of(process), "VmHWM")
    assert await draw(process, data) == Refusal(reason)
    assert pid_of(process) == pid, "it goes on"
    assert memory(pid, "VmHWM") < before + 32 * MIB


async def test_e13_a_film_opens_no_other_file() -> None:
    """That the alias would be followed where that is allowed shows that the test is one."""
    data = files.with_external_data(files.film("mov"), "/somewhere/canary.mov")

    def said(allowed: str) -> str:
        with av.logging.Capture(local=False) as lines:
            av.logging.set_level(av.logging.DEBUG)
            options = {"enable_drefs": allowed, "use_absolute_path": "1"}
            with av.open(io.BytesIO(data), format="mov", container_options=options):
                pass
        return str(lines)

    try:
        assert "Opening 'canary.mov'" in said("1")
        assert "Opening" not in said("0")
    finally:
        av.logging.set_level(None)


@pytest.mark.slow
async def test_e13_the_largest_picture_fits_into_the_memory_it_has(
    process: ThumbnailProcess,
) -> None:
    for data in (
        files.picture("PNG", 8000, 8000, "RGBA"),
        files.picture("JPEG", 8000, 8000, progressive=True),
    ):
        made = await draw(process, data)
        assert isinstance(made, Thumbnail)
        assert (made.width, made.height) == (8000, 8000)
    assert memory(pid_of(process), "VmPeak") <= 1024 * MIB


async def test_e13_one_that_hangs_is_killed_and_the_next_job_gets_another(
    process: ThumbnailProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thumbnail_process, "JOB_SECONDS", 0.5)
    data = files.film()

    async def read(offset: int, length: int) -> bytes:
        os.kill(pid_of(process), signal.SIGSTOP)
        return data[offset : offset + length]

    with pytest.raises(ThumbnailerDiedError):
        await process.draw(Job("video/mp4", len(data)), read)
    monkeypatch.undo()
    assert isinstance(await draw(process, data), Thumbnail)


async def test_e13_one_that_crashes_is_replaced(process: ThumbnailProcess) -> None:
    data = files.film()

    async def read(offset: int, length: int) -> bytes:
        os.kill(pid_of(process), signal.SIGSEGV)
        return data[offset : offset + length]

    with pytest.raises(ThumbnailerDiedError):
        await process.draw(Job("video/mp4", len(data)), read)
    assert isinstance(await draw(process, data), Thumbnail)


async def test_e13_a_slow_tier_is_not_the_fault_of_the_file(
    process: ThumbnailProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    await draw(process, files.film())
    monkeypatch.setattr(thumbnail_process, "JOB_SECONDS", 0.4)
    data = files.film()

    async def read(offset: int, length: int) -> bytes:
        await asyncio.sleep(0.8)
        return data[offset : offset + length]

    assert isinstance(await process.draw(Job("video/mp4", len(data)), read), Thumbnail)


async def test_e13_a_tier_that_fails_leaves_the_process_as_it_was(
    process: ThumbnailProcess,
) -> None:
    await draw(process, files.film())
    pid = pid_of(process)

    async def read(offset: int, length: int) -> bytes:
        raise TierFailed(Tier.S3, "timeout", "away")

    with pytest.raises(TierFailed):
        await process.draw(Job("video/mp4", 1000), read)
    assert isinstance(await draw(process, files.film()), Thumbnail)
    assert pid_of(process) == pid


async def test_e13_it_serves_only_so_often(
    process: ThumbnailProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thumbnail_process, "MOST_JOBS", 2)
    pids = []
    for _ in range(3):

        async def read(offset: int, length: int) -> bytes:
            pids.append(pid_of(process))
            return bytes(length)

        await process.draw(Job("image/png", 100), read)
    assert pids[0] == pids[1] != pids[2]


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
async def test_e13_it_is_confined(process: ThumbnailProcess) -> None:
    await draw(process, files.film())
    folder = Path(f"/proc/{pid_of(process)}")
    limits = {
        line[:26].strip(): line[26:].split()[:2]
        for line in (folder / "limits").read_text().splitlines()
    }
    assert limits["Max file size"] == ["0", "0"]
    assert limits["Max core file size"] == ["0", "0"]
    assert limits["Max open files"] == ["32", "32"]
    assert limits["Max address space"] == [str(1024 * MIB)] * 2
    assert int(limits["Max cpu time"][0]) < 60
    status = (folder / "status").read_text()
    assert "NoNewPrivs:\t1" in status
    assert "CapEff:\t0000000000000000" in status
    assert "CapPrm:\t0000000000000000" in status
    assert (folder / "environ").read_bytes() == b""
    assert os.getsid(pid_of(process)) == pid_of(process)
    links = [str(one.readlink()) for one in (folder / "fd").iterdir()]
    assert all(link.startswith("pipe:") or link == "/dev/null" for link in links), links


FORBIDDEN = {
    "memory": "bytearray(2 * 1024**3)",
    "files": "open(sys.argv[1], 'w').write('x' * 9999)",
    "descriptors": "[open('/dev/null') for _ in range(64)]",
    "network": "socket.create_connection(('127.0.0.1', int(sys.argv[2])), 2)",
}


@pytest.mark.parametrize("what", FORBIDDEN)
async def test_e13_what_it_may_not_do_fails(what: str, tmp_path: Path) -> None:
    if what == "network" and not _namespaces_allowed():
        pytest.skip("this system lets nobody take his own network away")
    server = await asyncio.start_server(lambda _, __: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    code = (
        "import socket, sys\nfrom services.storage.thumbnailer import confinement\n"
        f"confinement.confine()\ntry: {FORBIDDEN[what]}\n"
        "except (MemoryError, OSError): print('refused')"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "file"), str(port)]
    ended = await asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=30)
    server.close()
    assert ended.stdout.decode().strip() == "refused", ended.stderr.decode()


def _namespaces_allowed() -> bool:
    tried = subprocess.run(["unshare", "-Un", "true"], capture_output=True, check=False)
    return tried.returncode == 0


def test_e13_a_loop_runs_out_of_time_even_without_its_parent() -> None:
    code = (
        "from services.storage.thumbnailer import confinement\n"
        "confinement._JOB_CPU_SECONDS = 1\nconfinement.confine()\nconfinement.begin_job()\n"
        "while True: pass"
    )
    ended = subprocess.run([sys.executable, "-c", code], timeout=30, check=False)
    assert ended.returncode == -signal.SIGXCPU

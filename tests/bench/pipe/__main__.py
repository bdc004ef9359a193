"""`python -m tests.bench.pipe [rounds]`: the storage service and curl, in turns, into the same SeaweedFS."""

import asyncio
import hashlib
import sys
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

from deploy.local import ports
from deploy.local.environments import ROOT
from deploy.local.process import Program, running
from deploy.local.secrets import load
from deploy.local.stack import Stack
from services.kernel.grpc_client import make_channel
from services.kernel.tokens import Signer
from services.studio.content import SyntheticBody
from tests.bench.pipe.curl import presigned, put
from tests.bench.pipe.ingest import Ingests
from tests.bench.processes import MIB, cpu_seconds, forget_peak, peak_rss_bytes, rss_bytes
from tests.bench.report import publish, table

LARGE = 200 * MIB
SMALLER = 50_000_000
WARM_UP = 6 * MIB  # more than one part, so that all code is loaded
AT_ONCE = 16
Figures = dict[str, list[float]]


@dataclass(frozen=True)
class File:
    """A file to be moved."""

    path: Path
    size: int
    sha256: bytes


def make_file(directory: Path, size: int) -> File:
    """A file that is taken for a video."""
    body, path, digest = SyntheticBody("bench", size), directory / f"{size}.mp4", hashlib.sha256()
    with path.open("wb") as opened:
        for start in range(0, size, MIB):
            piece = body.read(start, MIB)
            digest.update(piece)
            opened.write(piece)
    return File(path, size, digest.digest())


@dataclass(frozen=True)
class Bench:
    """What is running."""

    stack: Stack
    ingests: Ingests

    @property
    def storage(self) -> int:
        """The process that is measured."""
        return self.stack.pid("storage")

    async def ours(self, file: File, figures: Figures, idle: int) -> None:
        """One file through the service."""
        forget_peak(self.storage)
        used = cpu_seconds(self.storage)
        seconds = await self.ingests.ingest(file.path.name, file.sha256)
        figures["ours"].append(file.size / MIB / seconds)
        figures["ours cpu"].append(cpu_seconds(self.storage) - used)
        figures["ours memory"].append((peak_rss_bytes(self.storage) - idle) / MIB)

    async def curl(self, file: File, figures: Figures, number: int) -> None:
        """The same file by curl."""
        url = presigned(self.stack.ready.s3, f"curl/{number}.mp4")
        done = await asyncio.to_thread(put, file.path, url)
        figures["curl"].append(file.size / MIB / done.seconds)
        figures["curl cpu"].append(done.cpu_seconds)

    async def crowd(self, file: File, figures: Figures) -> None:
        """Many files at once through the service."""
        forget_peak(self.storage)
        used, begin = cpu_seconds(self.storage), perf_counter()
        await asyncio.gather(
            *(self.ingests.ingest(file.path.name, file.sha256) for _ in range(AT_ONCE))
        )
        figures["crowd"].append(AT_ONCE * file.size / MIB / (perf_counter() - begin))
        figures["crowd cpu"].append(cpu_seconds(self.storage) - used)
        figures["crowd memory"].append(peak_rss_bytes(self.storage) / MIB)


@asynccontextmanager
async def bench(directory: Path, files: Path) -> AsyncIterator[Bench]:
    """Storage with its database and its S3, and a server of the files."""
    address = f"127.0.0.1:{ports.choose()}"
    source = Program(
        name="source",
        argv=(sys.executable, "-m", "tests.bench.pipe.source", address, str(files)),
        environment={"PYTHONPATH": str(ROOT)},
        log=directory / "source.log",
        probe=lambda: not ports.is_free(int(address.rpartition(":")[2])),
    )
    with running(source):
        async with Stack(directory, only=("postgres", "s3", "storage")) as stack:
            signer = Signer(load(directory / "secrets").signing_key_file.read_text())
            async with make_channel(stack.ready.grpc["storage"]) as channel:
                yield Bench(stack, Ingests(channel, signer, f"http://{address}"))


async def measure(directory: Path, rounds: int) -> Figures:
    """Samples of every figure: MiB/s, seconds of CPU, MiB of memory."""
    figures: Figures = defaultdict(list)
    files = directory / "files"
    files.mkdir()
    warm_up, large, smaller = (make_file(files, size) for size in (WARM_UP, LARGE, SMALLER))
    async with bench(directory / "stack", files) as on:
        await on.ingests.ingest(warm_up.path.name, warm_up.sha256)
        await on.curl(warm_up, defaultdict(list), -1)
        idle = rss_bytes(on.storage)
        figures["idle memory"].append(idle / MIB)
        for number in range(rounds):
            if number % 2:  # whoever comes second finds the disk busy with the first one's bytes
                await on.curl(large, figures, number)
                await on.ours(large, figures, idle)
            else:
                await on.ours(large, figures, idle)
                await on.curl(large, figures, number)
        await on.crowd(smaller, figures)
    return figures


def rows(figures: Figures) -> list[tuple[str, ...]]:
    """The table."""
    middle = {name: median(samples) for name, samples in figures.items()}
    speed, cpu = middle["ours"] / middle["curl"], middle["ours cpu"] / middle["curl cpu"]
    return [
        ("URL → SeaweedFS", "ours", "curl -T", "ratio", "must", "goal"),
        (
            "200 MiB, MiB/s",
            f"{middle['ours']:.0f}",
            f"{middle['curl']:.0f}",
            f"{speed:.2f}",
            "≥ 0.8",
            "≥ 0.95",
        ),
        (
            "200 MiB, CPU seconds",
            f"{middle['ours cpu']:.2f}",
            f"{middle['curl cpu']:.2f}",
            f"{cpu:.1f}",
            "≤ 0.6 × rclone (not run here; 0.69 s on the reference machine)",
            "",
        ),
        (
            "200 MiB, peak memory above idle, MiB (median, worst)",
            f"{middle['ours memory']:.0f}, {max(figures['ours memory']):.0f}",
            "",
            "",
            "≤ 48",
            "≤ 24",
        ),
        (f"{AT_ONCE} × 50 MB at once, MiB/s", f"{middle['crowd']:.0f}", "", "", "", ""),
        (f"{AT_ONCE} × 50 MB at once, CPU seconds", f"{middle['crowd cpu']:.2f}", "", "", "", ""),
        (
            f"{AT_ONCE} × 50 MB at once, peak memory in all, MiB",
            f"{middle['crowd memory']:.0f} ({middle['idle memory']:.0f} idle)",
            "",
            "",
            "≤ 512 (64 × 200 MB)",
            "≤ 256",
        ),
    ]


def main(arguments: list[str]) -> None:
    (rounds,) = [int(text) for text in arguments] or (5,)
    with tempfile.TemporaryDirectory(prefix="reelgate-bench-") as directory:
        figures = asyncio.run(measure(Path(directory), rounds))
    note = f"{rounds} rounds. curl sends a file of the disk and does not digest it; ours also receives and digests."
    publish("pipe", f"{table(rows(figures))}\n\n{note}")


if __name__ == "__main__":
    main(sys.argv[1:])

"""`python -m tests.bench.pipe [rounds]`: the storage service and others, in turns, from one source into one S3."""

import asyncio
import shutil
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from tests.bench.pipe import source
from tests.bench.pipe.figures import OURS, UPLOAD, Figures, comparison, memory
from tests.bench.pipe.ours import sha256_mib_per_second
from tests.bench.pipe.peers import Peers, install, versions
from tests.bench.pipe.servers import Bench, into_nothing, into_seaweedfs, serving
from tests.bench.processes import MIB
from tests.bench.report import publish

LARGE: Final = 200 * MIB
HUGE: Final = 2048 * MIB
EACH: Final = 200_000_000
QUEUED, SMALL = 500, 8_000_000
NEEDED_BYTES: Final = 20 * 1024 * MIB

INTO_SEAWEEDFS: Final = {
    "rclone copyurl": ("≥ 1.0", "≤ 0.6"),
    "curl -T": ("≥ 0.8 (goal 0.95)", ""),
}


def make_file(directory: Path, size: int) -> Path:
    """The file that the source makes up, for those who send one from the disk."""
    file = directory / f"{size}.mp4"
    with file.open("wb") as opened:
        for each in source.pieces(size):
            opened.writelines(each)
    return file


async def compare(bench: Bench, peers: Peers, rounds: int, ours: Sequence[str]) -> Figures:
    """Everybody moves the same file, in turns; whoever begins changes from round to round."""
    figures = Figures()
    moves = {OURS: bench.ours.ingest, UPLOAD: bench.ours.upload}
    for name in peers.NAMES:  # so that all code is in the system's memory
        await asyncio.to_thread(peers.move, name, -1)
    for number in range(rounds):
        names = [*ours, *peers.NAMES]
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            if name in moves:
                used = await bench.ours.measured(partial(moves[name], LARGE))
            else:
                used = await asyncio.to_thread(peers.move, name, number)
            figures.add(name, used, LARGE)
            print(f"  {name}: {LARGE / MIB / used.seconds:.0f} MiB/s", flush=True)
    return figures


async def crowd(bench: Bench, sizes: Sequence[int], rounds: int = 1) -> Figures:
    """Files of these sizes, all at once, through the service."""
    figures = Figures()

    async def all_of_them() -> None:
        await asyncio.gather(*(bench.ours.ingest(size) for size in sizes))

    for _ in range(rounds):
        figures.add(OURS, await bench.ours.measured(all_of_them), sum(sizes))
    return figures


async def measure(directory: Path, rounds: int) -> str:
    """The section of the report."""
    home = await asyncio.to_thread(install)
    file = make_file(directory, LARGE)
    digests = sha256_mib_per_second()
    with serving("source", directory) as origin:
        # First: for minutes after the other the system is busy with writing what SeaweedFS was given.
        async with into_nothing(directory, origin) as bench:
            peers = Peers(home, bench.s3, origin, file)
            null = await compare(bench, peers, rounds, [OURS, UPLOAD])
            second = comparison("200 MiB, URL → null S3", null, bench.idle, {})
            many = (await crowd(bench, [EACH] * count) for count in (1, 16, 64))
            rows: list[tuple[str, Figures, str, str]] = [
                ("1 × 200 MiB", await crowd(bench, [LARGE], rounds), "≤ 48 above idle", "≤ 24"),
                ("1 × 2 GiB", await crowd(bench, [HUGE], 2), "≤ 48 above idle", "≤ 24"),
                ("1 × 200 MB", await anext(many), "", ""),
                ("16 × 200 MB at once", await anext(many), "", ""),
                ("64 × 200 MB at once", await anext(many), "≤ 512 in all", "≤ 256"),
                (
                    f"64 × 200 MB and {QUEUED} × 8 MB at once",
                    await crowd(bench, [EACH] * 64 + [SMALL] * QUEUED),
                    "≤ 512 in all",
                    "≤ 256",
                ),
            ]
            third = memory(
                [(name, found, bench.idle, must, goal) for name, found, must, goal in rows]
            )
        async with into_seaweedfs(directory, origin) as bench:
            peers = Peers(home, bench.s3, origin, file)
            seaweedfs = await compare(bench, peers, rounds, [OURS])
            first = comparison("200 MiB, URL → SeaweedFS", seaweedfs, bench.idle, INTO_SEAWEEDFS)
    raw = null.speed("raw")
    note = f"""\
{rounds} rounds. {versions(home)}.
Every SHA-256 that the service stated was compared with the source's. curl -T sends a
file of the disk, and receives and digests nothing; "raw" is aiohttp from the source into presigned parts without any
digest, its start not counted. The other peers are started for each file, which is in their figures; the service runs.

Into the null S3: must ≥ 1,024 MiB/s, ≥ 819 through Upload (goal 2,048), on the reference machine, where raw reaches
2,100–2,560 MiB/s. Here raw reaches {raw:.0f} and SHA-256 alone {digests:.0f} MiB/s on one core: ours is
{null.speed(OURS) / raw:.2f} × raw (the must is 0.40–0.49 × there), through Upload {null.speed(UPLOAD) / raw:.2f} ×
(0.32–0.39 × there)."""
    return "\n\n".join([first, second, third, note])


def main(arguments: list[str]) -> None:
    (rounds,) = [int(text) for text in arguments] or (5,)
    with tempfile.TemporaryDirectory(prefix="reelgate-bench-") as directory:
        free = shutil.disk_usage(directory).free
        if free < NEEDED_BYTES:
            sys.exit(
                f"{directory} has {free // MIB} MiB free, and {NEEDED_BYTES // MIB} are needed"
            )
        publish("pipe", asyncio.run(measure(Path(directory), rounds)))


if __name__ == "__main__":
    main(sys.argv[1:])

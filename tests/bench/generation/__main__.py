"""`python -m tests.bench.generation [rounds]`: CPU of our processes for one generation, end to end, over gRPC."""

import asyncio
import sys
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

import aiohttp
import psycopg

from deploy.local.secrets import load
from deploy.local.stack import Stack
from services.kernel.grpc_client import make_channel
from services.kernel.tokens import Signer
from tests.bench.generation.empty_call import EmptyServer, empty_server
from tests.bench.generation.people import Person, make_people
from tests.bench.processes import cpu_seconds
from tests.bench.report import publish, table

PEOPLE = 50
EACH = 2  # one below the limit of active ones
# The others that run are not ours to answer for: PostgreSQL, S3 and the upstream.
OURS = ("gateway", "gateway_worker", "quota", "storage")
PARTS = ("postgres", "s3", "studio", *OURS)
# They are made behind its end, and by a process of their own for the most part.
_WITHOUT_THUMBNAILS = {"REELGATE_STORAGE_THUMBNAILS": "false"}
_PAUSE_SECONDS = 0.05
_WITHIN_SECONDS = 120.0
Figures = dict[str, list[float]]


@dataclass(frozen=True)
class Bench:
    """What is running, and who asks."""

    stack: Stack
    people: Sequence[Person]
    empty: EmptyServer
    database: psycopg.AsyncConnection[tuple[int, int]]

    async def round(self, name: str, figures: Figures) -> None:
        """Everybody asks for his, all at once; it ends when nothing is owed to any of them."""
        done = await self._completed()
        before, begin = self._cpu(), perf_counter()
        await asyncio.gather(
            *(person.generate("a paper boat") for person in self.people for _ in range(EACH))
        )
        await self._until_nothing_is_owed()
        seconds, after = perf_counter() - begin, self._cpu()
        count = await self._completed() - done
        assert count == len(self.people) * EACH, "every one must be kept"
        figures[f"{name} per second"].append(count / seconds)
        for process in OURS:
            figures[f"{name} {process}"].append((after[process] - before[process]) / count * 1000)
        figures[f"{name} all"].append((sum(after.values()) - sum(before.values())) / count * 1000)

    async def watched_round(self, name: str, figures: Figures) -> None:
        """The same with a page open at everybody's."""
        async with AsyncExitStack() as pages:
            for person in self.people:
                await pages.enter_async_context(person.watching())
            await self.round(name, figures)

    def _cpu(self) -> dict[str, float]:
        return {name: cpu_seconds(self.stack.pid(name)) for name in OURS}

    async def _until_nothing_is_owed(self) -> None:
        # Asked of the database, which is not measured: who asked ours would be a load on it.
        async with asyncio.timeout(_WITHIN_SECONDS):
            while (await self._count())[0]:
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _completed(self) -> int:
        return (await self._count())[1]

    async def _count(self) -> tuple[int, int]:
        """Generations to which something is owed, and those that were kept in S3."""
        cursor = await self.database.execute(
            "SELECT count(*) FILTER (WHERE next_run_at IS NOT NULL),"
            " count(*) FILTER (WHERE status = 'completed' AND storage_type = 's3')"
            " FROM gateway.generations"
        )
        row = await cursor.fetchone()
        assert row is not None
        return row


@asynccontextmanager
async def bench(directory: Path) -> AsyncIterator[Bench]:
    """Everything but the doors for HTTP, with a studio that renders nothing."""
    async with AsyncExitStack() as exits:
        empty = exits.enter_context(empty_server(directory))
        stack = await exits.enter_async_context(
            Stack(directory / "stack", only=PARTS, env=_WITHOUT_THUMBNAILS)
        )
        await _instant(stack.ready.studio)
        signer = Signer(load(stack.home / "secrets").signing_key_file.read_text())
        channel = await exits.enter_async_context(make_channel(stack.ready.grpc["gateway"]))
        people = await make_people(channel, stack.ready, signer, PEOPLE)
        database = await psycopg.AsyncConnection.connect(stack.ready.database_url, autocommit=True)
        await exits.enter_async_context(database)
        yield Bench(stack, people, empty, database)


async def _instant(studio: dict[str, str]) -> None:
    headers = {"Authorization": f"Bearer {studio['api_key']}"}
    async with (
        aiohttp.ClientSession(headers=headers, raise_for_status=True) as http,
        http.put(f"{studio['url']}/studio/behaviour", json={"instant": True}),
    ):
        pass


async def measure(directory: Path, rounds: int) -> Figures:
    """Samples of every figure: milliseconds of CPU for one generation, generations a second."""
    figures: Figures = defaultdict(list)
    async with bench(directory) as on:
        await on.round("warm-up", figures)
        for _ in range(rounds):
            figures["empty"].append(await on.empty.cpu_seconds_a_call() * 1000)
            await on.round("alone", figures)
            await on.watched_round("watched", figures)
    return figures


def rows(figures: Figures) -> list[tuple[str, ...]]:
    """The table."""
    middle = {name: median(samples) for name, samples in figures.items()}
    empty = middle["empty"]

    def row(title: str, name: str, *aims: str) -> tuple[str, ...]:
        alone, watched = middle[f"alone {name}"], middle[f"watched {name}"]
        return (
            title,
            f"{alone:.1f}",
            f"{watched:.1f}",
            f"{watched / empty:.0f}",
            *(aims or ("", "")),
        )

    return [
        (
            "CPU-ms for one generation",
            "nobody watches",
            "its owner watches",
            "empty gRPC calls for that",
            "must",
            "goal",
        ),
        row("all of ours", "all", "≤ 30", "≤ 10"),
        *(row(process, process) for process in OURS),
        ("one empty gRPC call", f"{empty:.3f}", "", "1", "", ""),
        (
            "generations per second",
            f"{middle['alone per second']:.1f}",
            f"{middle['watched per second']:.1f}",
            "",
            "printed",
            "",
        ),
    ]


def main(arguments: list[str]) -> None:
    (rounds,) = [int(text) for text in arguments] or (5,)
    with tempfile.TemporaryDirectory(prefix="reelgate-bench-") as directory:
        figures = asyncio.run(measure(Path(directory), rounds))
    note = (
        f"{rounds} rounds of {PEOPLE * EACH} generations, {PEOPLE} users with {EACH} at once, asked for by gRPC; "
        "PostgreSQL, S3, the upstream and the load are on the same machine and not counted in the CPU; "
        "no thumbnails are made."
    )
    publish("generation", f"{table(rows(figures))}\n\n{note}")


if __name__ == "__main__":
    main(sys.argv[1:])

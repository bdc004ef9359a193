"""E4, E5: a download that breaks is taken up where it broke, byte for byte, or it fails; nothing in between."""

import asyncio
import hashlib
import random
import re
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import count

import pytest

from services.kernel.egress import Egress, Policy, origin_of
from services.kernel.errors import Aborted
from services.storage.objects import SourceLink
from services.storage.sources import download
from services.storage.sources.download import Patience
from services.storage.sources.url import Downloads
from tests.contents import read
from tests.integration.storage.conftest import MakeStorage
from tests.integration.storage.harness import MIB, Client, Source, video

ETAG = 'ETag: "v1"'
PATIENCE = Patience(2, 20, 4096, 30)


@dataclass
class Answer:
    """How a request is answered: `cut` bytes of the body, then the connection ends as `end` says."""

    cut: int | None = None
    end: str = "close"  # or "reset", or "hang"
    validator: str = ETAG
    lie: str = ""  # the whole head of the answer to a range
    other: bytes | None = None  # another version of the body


@dataclass
class Breaking:
    """A source that answers ranges, and breaks as its list of answers says; the last one stays."""

    body: bytes
    answers: list[Answer]
    heads: list[str] = field(default_factory=list)
    url: str = ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Breaking"]:
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/x.mp4"
        try:
            yield self
        finally:
            self._stop.set()
            server.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            answer = self.answers[min(len(self.heads), len(self.answers) - 1)]
            self.heads.append(head)
            await self._play(head, answer, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _play(self, head: str, answer: Answer, writer: asyncio.StreamWriter) -> None:
        body = answer.other or self.body
        found = re.search(r"^Range: bytes=(\d+)-\r$", head, re.MULTILINE)
        start = 0
        if found and answer.lie:
            writer.write(answer.lie.encode() + b"\r\n\r\n" + body)
            return
        lines = [f"Content-Length: {len(body)}", answer.validator]
        if found and f"If-Range: {answer.validator.partition(': ')[2]}\r\n" in head:
            start = int(found[1])
            lines = [
                f"Content-Length: {len(body) - start}",
                f"Content-Range: bytes {start}-{len(body) - 1}/{len(body)}",
                answer.validator,
            ]
        status = "206 Partial Content" if start else "200 OK"
        writer.write("\r\n".join([f"HTTP/1.1 {status}", *filter(None, lines), "", ""]).encode())
        writer.write(body[start : None if answer.cut is None else start + answer.cut])
        await writer.drain()
        if answer.end == "hang":
            await self._stop.wait()
        elif answer.end == "reset" and answer.cut is not None:
            await asyncio.sleep(0.05)  # a reset overtakes what was not read yet
            sock = writer.get_extra_info("socket")
            sock.setsockopt(1, 13, struct.pack("ii", 1, 0))  # SO_LINGER of nothing


async def fetched(source: Breaking, patience: Patience = PATIENCE) -> bytes:
    """What arrives of it."""
    async with Egress(Policy(private=frozenset({origin_of(source.url)}))) as egress:
        link = SourceLink(source.url, {"X-Key": "k"}, "")
        async with Downloads(egress, patience).source(link).open() as body:
            return await read(body.content)


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_FIRST_PAUSE_SECONDS", 0.001)


@pytest.mark.parametrize("end", ["close", "reset", "hang"])
async def test_e4_a_download_goes_on_where_it_broke(end: str) -> None:
    body = video(3 * MIB)
    broken = [Answer(cut=700_000, end=end), Answer(cut=1_000_000, end=end), Answer()]
    async with Breaking(body, broken).running() as source:
        assert await fetched(source, replace(PATIENCE, idle_seconds=0.3)) == body
        first, second, third = source.heads
    assert "Range" not in first
    for head in (second, third):
        assert 'If-Range: "v1"' in head
        assert "X-Key: k" in head
        assert "Accept-Encoding: identity" in head
    if end != "reset":  # which may lose bytes that were sent
        assert "Range: bytes=700000-" in second
        assert "Range: bytes=1700000-" in third


async def test_e4_a_date_serves_where_there_is_no_tag() -> None:
    date = "Date: Sun, 01 Nov 2026 00:02:00 GMT\r\nLast-Modified: Sun, 01 Nov 2026 00:00:00 GMT"
    body = video(MIB)
    answers = [Answer(cut=1000, validator=date), Answer()]
    answers[1].validator = "Last-Modified: Sun, 01 Nov 2026 00:00:00 GMT"
    async with Breaking(body, answers).running() as source:
        assert await fetched(source) == body
        assert "If-Range: Sun, 01 Nov 2026 00:00:00 GMT" in source.heads[1]


async def test_e4_100_downloads_cut_at_random_bytes_arrive_whole_or_fail() -> None:
    chance = random.Random(7)
    whole = 0
    for number in range(100):
        body = video(chance.randrange(100, 400_000), seed=number)
        cuts = [chance.randrange(len(body)) for _ in range(chance.randrange(1, 5))]
        answers = [Answer(cut=cut, end=chance.choice(["close", "reset"])) for cut in cuts]
        if chance.random() < 0.3:
            answers.append(Answer(validator='ETag: "v2"', other=video(len(body), seed=-1)))
        else:
            answers.append(Answer())
        async with Breaking(body, answers).running() as source:
            try:
                assert await fetched(source) == body
                whole += 1
            except Aborted as error:
                assert error.reason == "SOURCE_FAILED"
    assert 50 < whole < 100


@pytest.mark.parametrize(
    "then",
    [
        Answer(validator='ETag: "v2"'),
        Answer(validator=""),
        Answer(lie="HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 999-99999/100000"),
        Answer(lie="HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 1000-99999/100001"),
        Answer(lie="HTTP/1.1 206 Partial Content\r\nContent-Length: 100000"),
        Answer(lie="HTTP/1.1 503 Slow Down\r\nContent-Length: 100000"),
        Answer(lie="HTTP/1.1 416 No\r\nContent-Range: bytes */100000\r\nContent-Length: 100000"),
        Answer(lie="HTTP/1.1 200 OK\r\nContent-Length: 100000"),
    ],
)
async def test_e5_what_does_not_continue_the_body_ends_it(then: Answer) -> None:
    async with Breaking(video(100_000), [Answer(cut=1000), then]).running() as source:
        with pytest.raises(Aborted, match=r"broke off after 1000 bytes") as caught:
            await fetched(source)
        assert len(source.heads) == 2
    assert caught.value.reason == "SOURCE_FAILED"


@pytest.mark.parametrize("validator", ["", 'ETag: W/"v1"', "Last-Modified: yesterday"])
async def test_e5_without_a_validator_nothing_is_asked_again(validator: str) -> None:
    broken = Answer(cut=1000, validator=validator)
    async with Breaking(video(100_000), [broken]).running() as source:
        with pytest.raises(Aborted) as caught:
            await fetched(source)
        assert len(source.heads) == 1
    assert caught.value.metadata["kind"] == "reset"


async def test_e5_before_the_first_byte_nothing_is_asked_again() -> None:
    async with Breaking(video(100_000), [Answer(cut=0)]).running() as source:
        with pytest.raises(Aborted):
            await fetched(source)
        assert len(source.heads) == 1


async def test_e5_a_source_that_never_gets_further_is_given_up() -> None:
    async with Breaking(video(100_000), [Answer(cut=10)]).running() as source:
        with pytest.raises(Aborted):
            await fetched(source)
        assert len(source.heads) == 6  # five times again


async def test_e4_progress_gives_new_tries() -> None:
    async with Breaking(video(12 * MIB), [Answer(cut=MIB)]).running() as source:
        assert len(await fetched(source)) == 12 * MIB
        assert len(source.heads) == 12


async def test_e4_the_address_that_was_given_is_asked_again_not_where_it_led() -> None:
    body, numbers = video(100_000), count()
    async with Breaking(body, [Answer(cut=50_000), Answer()]).running() as goal:

        async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            goes = f"HTTP/1.1 302 Found\r\nLocation: {goal.url}?signed={next(numbers)}\r\n"
            writer.write(f"{goes}Content-Length: 0\r\n\r\n".encode())
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(redirect, "127.0.0.1", 0)
        entrance = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        private = frozenset({origin_of(goal.url), origin_of(entrance)})
        async with server, Egress(Policy(private=private)) as egress:
            link = SourceLink(f"{entrance}/x.mp4", {"Authorization": "secret"}, "")
            async with Downloads(egress, PATIENCE).source(link).open() as opened:
                assert await read(opened.content) == body
        assert [head.split()[1] for head in goal.heads] == ["/x.mp4?signed=0", "/x.mp4?signed=1"]
        assert "Range: bytes=50000-" in goal.heads[1]
        assert "secret" not in "".join(goal.heads)


async def test_e4_a_resumed_body_is_kept_whole(client: Client) -> None:
    body = video(12 * MIB, seed=3)
    answers = [Answer(cut=6 * MIB + 1), Answer(cut=MIB, end="reset"), Answer()]
    async with Breaking(body, answers).running() as source:
        kept = await client.ingest(source.url)
    assert kept.sha256 == hashlib.sha256(body).digest()
    assert 'source_resumes_total{result="continued"}' in client.process.metrics()


async def test_e5_a_source_that_drips_is_given_up_and_one_that_waits_for_us_is_not(
    make_storage: MakeStorage, source: Source
) -> None:
    process = make_storage(
        None,
        REELGATE_STORAGE_SOURCE_MIN_BYTES_PER_SECOND="20000",
        REELGATE_STORAGE_SOURCE_WINDOW_SECONDS="1",
    )
    async with process.client() as client:
        slow = source.serve(video(100_000), bytes_per_write=1000, seconds_per_write=0.1)
        with pytest.raises(Aborted, match="too slow") as caught:
            await client.ingest(slow)
        assert caught.value.reason == "SOURCE_FAILED"
        brisk = source.serve(video(400_000), bytes_per_write=10_000, seconds_per_write=0.05)
        assert (await client.ingest(brisk)).size_bytes == 400_000

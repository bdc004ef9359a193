"""Something in front of a real S3 server that does to each request what the fault of the moment says."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Final, Self
from urllib.parse import parse_qs, unquote, urlsplit

from tests.conftest import S3Access
from tests.faults.storage.wire import head, reset

_ERROR: Final = '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{}</Code><Message>As you see.</Message></Error>'


@dataclass(slots=True)
class Call:
    """One request: its S3 operation, the key, the part's number (0: none) and how many-th of this operation it is."""

    operation: str
    key: str
    part: int
    nth: int
    lines: list[bytes]
    length: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def body(self) -> bytes:
        return await self.reader.readexactly(self.length)


Deed = Callable[["BadS3", Call], Awaitable[None]]
"""What is done with a request instead of passing it on."""
Fault = Callable[[Call], Deed | None]
"""Decides for each request; None passes it on."""


def well(call: Call) -> Deed | None:
    """No fault."""
    return None


class BadS3:
    """The server in front; `access` leads to it."""

    def __init__(self, behind: S3Access) -> None:
        self.access = behind
        self.fault: Fault = well
        self.made: Counter[str] = Counter()
        self.watch: Callable[[Call, str], None] = lambda call, what: None
        """Told "begun" and "ended" of each request."""
        self._behind = urlsplit(behind.endpoint)
        self._server: asyncio.Server | None = None
        self._port = 0
        self._open: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def before(cls, behind: S3Access) -> AsyncIterator[Self]:
        """One in front of this server."""
        proxy = cls(behind)
        await proxy.go_up()
        proxy.access = replace(behind, endpoint=f"http://127.0.0.1:{proxy._port}")
        try:
            yield proxy
        finally:
            await proxy.go_down()

    async def go_up(self) -> None:
        """Listens, on the same port each time."""
        self._server = await asyncio.start_server(
            self._connected, "127.0.0.1", self._port, limit=1 << 20
        )
        self._port = self._server.sockets[0].getsockname()[1]

    async def go_down(self) -> None:
        """Refuses connections and breaks those there are."""
        if self._server is not None:
            self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    def begin(self, fault: Fault) -> None:
        """This is wrong from now on; counts anew."""
        self.made.clear()
        self.fault = fault

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            lines = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[:-2]
            call = self._read(lines, reader, writer)
            self.watch(call, "begun")
            await (self.fault(call) or BadS3.pass_on)(self, call)
            self.watch(call, "ended")
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # one of the two sides has gone
        finally:
            self._open.discard(task)
            writer.close()

    def _read(
        self, lines: list[bytes], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> Call:
        method, target, _ = lines[0].decode().split(" ", 2)
        path, _, query = target.partition("?")
        asked = parse_qs(query, keep_blank_values=True)
        operation = _operation(method, set(asked))
        self.made[operation] += 1
        sizes = [line[15:] for line in lines if line.lower().startswith(b"content-length:")]
        key = unquote(path).partition(f"/{self.access.bucket}")[2].lstrip("/")
        part = int(asked.get("partNumber", ["0"])[0])
        nth, length = self.made[operation], int(sizes[0]) if sizes else 0
        return Call(operation, key, part, nth, lines, length, reader, writer)

    async def pass_on(self, call: Call, *, answered: bool = True, spoiled: bool = False) -> None:
        """Lets the real server do it; not `answered`: it does, and nobody hears of it."""
        body = bytearray(await call.body())
        if spoiled:
            body[len(body) // 2] ^= 0xFF
        behind = await asyncio.open_connection(self._behind.hostname, self._behind.port)
        try:
            kept = [line for line in call.lines if not line.lower().startswith(b"connection:")]
            behind[1].write(b"\r\n".join((*kept, b"Connection: close", b"", b"")) + body)
            await behind[1].drain()
            top = (await behind[0].readuntil(b"\r\n\r\n")).split(b"\r\n")[:-2]
            if not answered:
                await behind[0].read()
                reset(call.writer)
                return
            kept = [line for line in top if not line.lower().startswith(b"connection:")]
            call.writer.write(b"\r\n".join((*kept, b"Connection: close", b"", b"")))
            while piece := await behind[0].read(1 << 16):
                call.writer.write(piece)
                await call.writer.drain()
        finally:
            behind[1].close()
            with suppress(ConnectionError):
                await behind[1].wait_closed()


def _operation(method: str, asked: set[str]) -> str:
    match method:
        case "PUT":
            return "UploadPart" if "partNumber" in asked else "PutObject"
        case "POST":
            return "CreateMultipartUpload" if "uploads" in asked else "CompleteMultipartUpload"
        case "DELETE":
            return "AbortMultipartUpload" if "uploadId" in asked else "DeleteObject"
        case "GET" if "uploadId" in asked:
            return "ListParts"
        case "GET" if "uploads" in asked:
            return "ListMultipartUploads"
        case "GET" if "list-type" in asked:
            return "ListObjectsV2"
        case _:
            return f"{method.title()}Object"


# What can be done with a request


def saying(status: str, code: str = "", body: str = "") -> Deed:
    """Reads it, does nothing, and answers so."""

    async def deed(proxy: BadS3, call: Call) -> None:
        await call.body()
        text = (body or (_ERROR.format(code) if code else "")).encode()
        top = head(
            status,
            "Content-Type: application/xml",
            f"Content-Length: {len(text)}",
            "Connection: close",
        )
        call.writer.write(top + text)
        await call.writer.drain()

    return deed


async def hang(proxy: BadS3, call: Call) -> None:
    """Reads nothing more and answers nothing."""
    await asyncio.Event().wait()


async def break_off(proxy: BadS3, call: Call) -> None:
    """Resets the connection in the middle of the body."""
    await call.reader.readexactly(call.length // 2)
    reset(call.writer)


async def lose_answer(proxy: BadS3, call: Call) -> None:
    """It is done, and the answer is lost."""
    await proxy.pass_on(call, answered=False)


async def spoil(proxy: BadS3, call: Call) -> None:
    """One byte of the body is another one when it arrives."""
    await proxy.pass_on(call, spoiled=True)


def late(seconds: float) -> Deed:
    """It is done, after a while."""

    async def deed(proxy: BadS3, call: Call) -> None:
        await asyncio.sleep(seconds)
        await proxy.pass_on(call)

    return deed


def trickling(bytes_per_second: int) -> Deed:
    """Takes the body so slowly."""

    async def deed(proxy: BadS3, call: Call) -> None:
        body = b""
        while len(body) < call.length:
            piece = await call.reader.read(min(bytes_per_second // 5, call.length - len(body)))
            if not piece:
                raise ConnectionResetError
            body += piece
            await asyncio.sleep(0.2 * len(piece) / (bytes_per_second // 5))
        call.reader = asyncio.StreamReader(limit=1 << 20)
        call.reader.feed_data(body)
        await proxy.pass_on(call)

    return deed


# When it is done


def always(deed: Deed, *operations: str, after: int = 0, times: int = 1 << 30) -> Fault:
    """Does it to these operations (all without any), `times` times, not to the first `after` of each."""

    def fault(call: Call) -> Deed | None:
        meant = not operations or call.operation in operations
        return deed if meant and after < call.nth <= after + times else None

    return fault


def both(*faults: Fault) -> Fault:
    """The first that has something to do does it."""

    def fault(call: Call) -> Deed | None:
        return next((deed for one in faults if (deed := one(call)) is not None), None)

    return fault

"""An HTTP server in name only: what it does to the wire is said for each path."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked; header names are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]


Play = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]
"""What happens to a connection behind its request; it is closed at the end."""


class Wire:
    """Serves plays on loopback."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[Request] = []
        self._plays: dict[str, Play] = {}
        self._otherwise: Play = missing
        self._open: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def running(cls, tls: ssl.SSLContext | None = None) -> AsyncIterator[Self]:
        """One on a free port; plays that still run end with it."""
        wire = cls()
        server = await asyncio.start_server(wire._connected, "127.0.0.1", 0, ssl=tls)
        scheme = "http" if tls is None else "https"
        wire.url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield wire
        finally:
            server.close()
            for task in wire._open:
                task.cancel()
            await asyncio.gather(*wire._open, return_exceptions=True)

    def serve(self, play: Play, name: str = "") -> str:
        """Gives the URL under which the play is had."""
        path = f"/{name or len(self._plays)}.mp4"
        self._plays[path] = play
        return self.url + path

    def otherwise(self, play: Play) -> None:
        """What all other URLs give, instead of 404."""
        self._otherwise = play

    def forget(self, url: str) -> None:
        """Its play is over for good."""
        del self._plays[url.removeprefix(self.url)]

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            request = _read((await reader.readuntil(b"\r\n\r\n")).decode("latin-1"))
            self.requests.append(request)
            play = self._plays.get(request.path.partition("?")[0], self._otherwise)
            await play(request, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # whoever asked has gone
        finally:
            self._open.discard(task)
            writer.close()


def _read(head: str) -> Request:
    first, *lines = head.rstrip("\r\n").split("\r\n")
    method, path, _ = first.split(" ", 2)
    pairs = (line.partition(":") for line in lines)
    return Request(method, path, {name.lower(): value.strip() for name, _, value in pairs})


def saying(*pieces: bytes) -> Play:
    """Writes these bytes and closes."""

    async def play(request: Request, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()

    return play


missing = saying(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def head(status: str = "200 OK", *lines: str) -> bytes:
    """The head of an answer."""
    return "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}", *lines, "")).encode("latin-1")


def answer(body: bytes, *lines: str, status: str = "200 OK") -> bytes:
    """A whole answer, with its length."""
    return head(status, f"Content-Length: {len(body)}", "Connection: close", *lines) + body


def reset(writer: asyncio.StreamWriter) -> None:
    """Ends the connection with a RST instead of a FIN."""
    made: socket.socket = writer.get_extra_info("socket")
    made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()

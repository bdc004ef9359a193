"""Blocking HTTP/1.1 on plain sockets, a thread for each connection: next to nothing beside what is measured."""

import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

_READ_BYTES: Final = 1024 * 1024
_LONGEST_HEAD: Final = 64 * 1024
# TCP of Linux drops bytes without copying them to us; elsewhere they are copied.
_DROP: Final = socket.MSG_TRUNC if hasattr(socket, "MSG_TRUNC") else 0


@dataclass
class Request:
    """The head of a request, and the connection behind which its body waits."""

    method: str
    target: str
    headers: Mapping[str, str]
    connection: "Connection" = field(repr=False)

    def discard(self) -> int:
        """Reads the body and forgets it; gives its length in bytes."""
        length = int(self.headers.get("content-length", "0"))
        if "100-continue" in self.headers.get("expect", ""):
            self.connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.connection.discard(length)
        return length

    def read(self) -> bytes:
        """The body, for those that are small."""
        return self.connection.read(int(self.headers.get("content-length", "0")))

    def answer(
        self, status: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> None:
        """Answers; the body of an answer to HEAD is not sent."""
        lines = {"Content-Length": str(len(body)), **(headers or {})}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        sent = b"" if self.method == "HEAD" else body
        self.connection.send(f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + sent)


class Connection:
    """One client."""

    def __init__(self, client: socket.socket) -> None:
        self._socket = client
        self._ahead = b""
        self._scratch = bytearray(_READ_BYTES)

    def send(self, *pieces: bytes | memoryview) -> None:
        """Sends all of it."""
        left = [memoryview(piece) for piece in pieces]
        while left:
            sent = self._socket.sendmsg(left)
            while left and sent >= len(left[0]):
                sent -= len(left.pop(0))
            if sent:
                left[0] = left[0][sent:]

    def head(self) -> Request | None:
        """The next request; None when the client is gone."""
        while (end := self._ahead.find(b"\r\n\r\n")) < 0:
            more = self._socket.recv(_LONGEST_HEAD)
            if not more or len(self._ahead) > _LONGEST_HEAD:
                return None
            self._ahead += more
        first, *lines = self._ahead[:end].decode("latin-1").split("\r\n")
        self._ahead = self._ahead[end + 4 :]
        method, target, _ = first.split(" ")
        pairs = (line.partition(":") for line in lines)
        return Request(
            method, target, {name.lower(): value.strip() for name, _, value in pairs}, self
        )

    def read(self, length: int) -> bytes:
        """The next bytes."""
        while len(self._ahead) < length:
            more = self._socket.recv(_READ_BYTES)
            if not more:
                raise ConnectionResetError
            self._ahead += more
        found, self._ahead = self._ahead[:length], self._ahead[length:]
        return found

    def discard(self, length: int) -> None:
        """Drops the next bytes."""
        taken = min(length, len(self._ahead))
        self._ahead = self._ahead[taken:]
        left = length - taken
        while left:
            got = self._socket.recv_into(self._scratch, min(left, _READ_BYTES), _DROP)
            if not got:
                raise ConnectionResetError
            left -= got


def serve(address: str, handle: Callable[[Request], None]) -> None:
    """Serves for ever at host:port; `handle` answers each request, after it has read its body."""
    host, _, port = address.rpartition(":")
    with socket.create_server((host, int(port)), backlog=256) as server:
        while True:
            client, _ = server.accept()
            threading.Thread(target=_talk, args=(client, handle), daemon=True).start()


def _talk(client: socket.socket, handle: Callable[[Request], None]) -> None:
    with client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(client)
        try:
            while (request := connection.head()) is not None:
                handle(request)
        except ConnectionError:
            pass

"""The bytes of a result: a file, or a body made up on the way, as fast as a test wishes."""

import asyncio
import hashlib
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Final, Protocol

from aiohttp import web

_CHUNK: Final = 256 * 1024
_BLOCK: Final = 1024 * 1024
_TICKS: Final = 20  # a throttled body is written in this many pieces a second


class Body(Protocol):
    """Something with a length that can be read anywhere."""

    size: int
    etag: str

    def read(self, start: int, length: int) -> bytes:
        """`length` bytes from `start`, fewer at the end."""


class FileBody:
    """A file's bytes."""

    def __init__(self, path: Path) -> None:
        facts = path.stat()
        self.size, self.etag, self._path = (
            facts.st_size,
            f'"{facts.st_mtime_ns:x}-{facts.st_size:x}"',
            path,
        )

    def read(self, start: int, length: int) -> bytes:
        """Reads them from the disk."""
        with self._path.open("rb") as file:
            file.seek(start)
            return file.read(length)


class SyntheticBody:
    """`size` pseudo-random bytes that depend on the seed alone, never held in memory as a whole.

    They start with the boxes of an MP4 (`ftyp`, then one `mdat` to the end), so that they are taken for a
    video, and each MiB carries its number, so that misplaced pieces change the digest.
    """

    def __init__(self, seed: str, size: int) -> None:
        self.size, self.etag = (
            size,
            f'"{hashlib.sha256(f"{seed}/{size}".encode()).hexdigest()[:24]}"',
        )
        self._block = Random(seed).randbytes(_BLOCK)  # noqa: S311 - not a secret
        ftyp = struct.pack(">I4s4sI4s4s", 24, b"ftyp", b"isom", 0x200, b"isom", b"mp42")
        self._head = (ftyp + struct.pack(">I4sQ", 1, b"mdat", size - len(ftyp)))[:size]

    def read(self, start: int, length: int) -> bytes:
        """Makes them."""
        end = min(self.size, start + length)
        pieces = []
        while start < end:
            number, offset = divmod(start, _BLOCK)
            front = self._head if number == 0 else struct.pack(">Q", number)
            take = min(end - start, _BLOCK - offset)
            pieces.append(front[offset : offset + take])
            inner = max(offset, len(front))
            pieces.append(self._block[inner : offset + take])
            start += take
        return b"".join(pieces)


def digest(body: Body) -> str:
    """The SHA-256 of the whole body, in hexadecimal."""
    total = hashlib.sha256()
    for start in range(0, body.size, _CHUNK):
        total.update(body.read(start, _CHUNK))
    return total.hexdigest()


async def send(
    request: web.Request, body: Body, content_type: str, bytes_per_second: int | None
) -> web.StreamResponse:
    """Answers with the body or the asked range of it, slowly if told so."""
    headers = {"ETag": body.etag, "Accept-Ranges": "bytes", "Content-Type": content_type}
    if request.headers.get("If-None-Match") == body.etag:
        return web.Response(status=304, headers=headers)
    start, end, status = 0, body.size, 200
    if request.headers.get("If-Range", body.etag) == body.etag and "Range" in request.headers:
        try:
            wanted = request.http_range
        except ValueError:
            wanted = slice(body.size, None)
        start = wanted.start or 0
        start = max(0, body.size + start) if start < 0 else start
        end = body.size if wanted.stop is None else min(body.size, wanted.stop)
        if start >= end:
            return web.Response(status=416, headers={"Content-Range": f"bytes */{body.size}"})
        status, headers["Content-Range"] = 206, f"bytes {start}-{end - 1}/{body.size}"
    response = web.StreamResponse(status=status, headers=headers)
    response.content_length = end - start
    await response.prepare(request)
    if request.method != "HEAD":
        async for piece in _pieces(body, start, end, bytes_per_second):
            await response.write(piece)
        await response.write_eof()
    return response


async def _pieces(
    body: Body, start: int, end: int, bytes_per_second: int | None
) -> AsyncIterator[bytes]:
    step = _CHUNK if bytes_per_second is None else min(_CHUNK, max(1, bytes_per_second // _TICKS))
    clock = asyncio.get_running_loop().time
    began, first = clock(), start
    while start < end:
        piece = body.read(start, min(step, end - start))
        yield piece
        start += len(piece)
        if bytes_per_second is not None and start < end:
            await asyncio.sleep(max(0.0, began + (start - first) / bytes_per_second - clock()))

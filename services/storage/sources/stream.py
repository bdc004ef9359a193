"""Bytes that can not be sent again: spooled on disk while they are uploaded, in case a second tier needs them."""

import asyncio
import hmac
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO, Final

from services.kernel.errors import InvalidArgument
from services.storage.ports import Body, Received
from services.storage.sources.chunks import Chunks

_FLUSH_BYTES: Final = 1024 * 1024
_READ_BYTES: Final = 256 * 1024
_MOST_AT_ONCE: Final = 512  # the system takes 1024


class StreamSource:
    """A stream of chunks, none of them empty, which ends or raises; `spool` None when nobody will want it twice.

    Close it with `close` when it is not needed any more.
    """

    name = "upload"

    def __init__(self, chunks: AsyncIterator[bytes], size_bytes: int, spool: Path | None) -> None:
        self._chunks = chunks
        self._size_bytes = size_bytes
        self._directory = spool
        self._file: IO[bytes] | None = None
        self._pending: list[bytes] = []  # behind what is in the file
        self._pending_bytes = 0
        self._file_bytes = 0
        self._fetching: asyncio.Future[bytes] | None = None
        self._ended = False
        self.commit: tuple[int, bytes] | None = None
        """Length and SHA-256 (or nothing) as the caller states them; set before the last chunk was asked for."""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Body]:
        """From the first byte: what was spooled, then what still comes."""
        yield Body(self._size_bytes, Chunks(self._all()))

    async def _all(self) -> AsyncIterator[bytes]:
        if self._fetching is not None:
            # Begun for an earlier reader, who went away: what it brings is in the spool then.
            await asyncio.shield(self._fetching)
        offset = 0
        while self._file is not None and offset < self._file_bytes:
            chunk = await asyncio.to_thread(os.pread, self._file.fileno(), _READ_BYTES, offset)
            if not chunk:
                raise OSError("the spool file is shorter than what was written to it")
            offset += len(chunk)
            yield chunk
        for chunk in list(self._pending):
            yield chunk
        while not self._ended:
            # Shielded: a tier that fails while we wait must not tear the stream.
            self._fetching = asyncio.ensure_future(self._fetch())
            chunk = await asyncio.shield(self._fetching)
            self._fetching = None
            if chunk:
                yield chunk

    async def _fetch(self) -> bytes:
        """The next chunk, spooled; nothing at the end."""
        chunk = await anext(self._chunks, b"")
        if not chunk:
            self._ended = True
        elif self._directory is not None:
            self._pending.append(chunk)
            self._pending_bytes += len(chunk)
            if self._pending_bytes >= _FLUSH_BYTES:
                await asyncio.to_thread(self._flush, self._directory)
        return chunk

    def _flush(self, directory: Path) -> None:
        try:
            if self._file is None:
                directory.mkdir(parents=True, exist_ok=True)
                # Nameless: nothing is left behind whatever happens to us.
                self._file = tempfile.TemporaryFile(dir=directory, buffering=0)  # noqa: SIM115 - closed in close()
            _write_all(self._file.fileno(), self._pending)
        except OSError:
            # Without a spool the upload goes on; only the second tier is out of reach for it.
            self._directory = None
            self._forget()
            return
        self._file_bytes += self._pending_bytes
        self._pending, self._pending_bytes = [], 0

    @property
    def repeatable(self) -> bool:
        """Whether a second `open` begins at the first byte."""
        return self._directory is not None

    def verify(self, received: Received) -> None:
        """Compares what came with what the caller says he sent. Raises InvalidArgument."""
        if self.commit is None:
            raise InvalidArgument("The upload was not committed.", reason="NOT_COMMITTED")
        size_bytes, sha256 = self.commit
        same = size_bytes == received.size_bytes and self._size_bytes in {0, received.size_bytes}
        if not same or (sha256 and not hmac.compare_digest(sha256, received.sha256)):
            raise InvalidArgument(
                "What arrived is not what was sent: length or digest differ.",
                reason="DIGEST_MISMATCH",
                metadata={"received_bytes": str(received.size_bytes)},
            )

    async def close(self) -> None:
        """Reads no more, and forgets what was spooled."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait({self._fetching})
            if not self._fetching.cancelled():
                self._fetching.exception()  # seen
        self._forget()

    def _forget(self) -> None:
        self._pending = []
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None


def _write_all(file: int, chunks: list[bytes]) -> None:
    """Appends the chunks, without a copy of them."""
    left = [memoryview(chunk) for chunk in chunks]
    while left:
        written = os.writev(file, left[:_MOST_AT_ONCE])
        while left and written >= len(left[0]):
            written -= len(left.pop(0))
        if written:
            left[0] = left[0][written:]

"""The pipes to the parent, and a file whose bytes are asked for through them."""

import io
import os
from collections import OrderedDict
from typing import BinaryIO, Final, Protocol

from services.storage.thumbnailer.protocol import (
    HEAD,
    LONGEST_READ_BYTES,
    MOST_READ_BYTES,
    NOT_READ,
    TOO_LARGE,
    Hello,
    Job,
    Message,
    Piece,
    ProtocolError,
    Read,
    Refusal,
    Thumbnail,
    announced,
    packed,
    unpacked,
)

_BLOCKS_KEPT: Final = 8


class RefusedError(Exception):
    """This file gets no picture; `reason` is one of the protocol's."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Asking(Protocol):
    """Gives bytes of the file a job is about."""

    def ask(self, offset: int, length: int) -> bytes:
        """These bytes. Raises RefusedError when they can not be had."""


class Parent:
    """The other end of standard input and output."""

    def __init__(self, incoming: BinaryIO, outgoing: BinaryIO) -> None:
        self._incoming = incoming
        self._outgoing = outgoing

    def hello(self) -> None:
        """Says that this process is ready."""
        self._send(Hello())

    def next_job(self) -> Job | None:
        """Waits for one; None when the parent has no more, or is gone."""
        message = self._receive()
        if message is None or isinstance(message, Job):
            return message
        raise ProtocolError("a job was expected")

    def ask(self, offset: int, length: int) -> bytes:
        """The bytes, of which there must be as many. Raises RefusedError."""
        self._send(Read(offset, length))
        message = self._receive()
        if not isinstance(message, Piece):
            raise ProtocolError("a piece was expected")
        if len(message.data) != length:
            raise RefusedError(NOT_READ)
        return message.data

    def answer(self, outcome: Thumbnail | Refusal) -> None:
        """Ends the job."""
        self._send(outcome)

    def _send(self, message: Message) -> None:
        self._outgoing.write(packed(message))
        self._outgoing.flush()

    def _receive(self) -> Message | None:
        head = self._incoming.read(HEAD.size)
        if len(head) < HEAD.size:
            return None
        kind, length = announced(head)
        payload = self._incoming.read(length)
        return unpacked(kind, payload) if len(payload) == length else None


def parent_of_this_process() -> Parent:
    """Takes the pipes away from standard input and output, where a library might say something."""
    incoming, outgoing = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    os.close(nothing)
    return Parent(incoming, outgoing)


class AskedFile(io.RawIOBase):
    """A file of `size_bytes` to read and seek in; a few blocks of it are kept at a time.

    Reading raises RefusedError when more is wanted than a job may have.
    """

    def __init__(self, asking: Asking, size_bytes: int) -> None:
        super().__init__()
        self._asking = asking
        self._size = size_bytes
        self._at = 0
        self._left = MOST_READ_BYTES
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self.refused: RefusedError | None = None
        """Kept, because a library may take it for an error of its own."""

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """The offset of the next byte."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Goes to another offset, and gives it; behind the end there is nothing to read."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError("before the beginning")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]
        """Fills the whole buffer, up to the end of the file."""
        space = memoryview(buffer).cast("B")
        done = 0
        while done < len(space) and self._at < self._size:
            number, start = divmod(self._at, LONGEST_READ_BYTES)
            piece = self._block(number)[start : start + len(space) - done]
            space[done : done + len(piece)] = piece
            done += len(piece)
            self._at += len(piece)
        return done

    def _block(self, number: int) -> bytes:
        if number in self._blocks:
            self._blocks.move_to_end(number)
            return self._blocks[number]
        offset = number * LONGEST_READ_BYTES
        length = min(LONGEST_READ_BYTES, self._size - offset)
        self._left -= length
        try:
            block = self._asked(offset, length)
        except RefusedError as refused:
            self.refused = refused
            raise
        self._blocks[number] = block
        if len(self._blocks) > _BLOCKS_KEPT:
            self._blocks.popitem(last=False)
        return block

    def _asked(self, offset: int, length: int) -> bytes:
        if self._left < 0:
            raise RefusedError(TOO_LARGE)
        return self._asking.ask(offset, length)

"""What the thumbnailer and its parent say to one another over two pipes: a letter, a length of four bytes, a payload.

The parent hands over a job; the child asks for pieces of the file until it has a picture of it, or refuses. The parent
believes nothing: every message has a limit, and every number is checked before it is used.
"""

import struct
from dataclasses import dataclass
from typing import Final

HEAD: Final = struct.Struct("!cI")
_JOB: Final = struct.Struct("!Q")
_READ: Final = struct.Struct("!QI")
_MEASURES: Final = struct.Struct("!IIQ")

LONGEST_READ_BYTES: Final = 1024 * 1024
MOST_READ_BYTES: Final = 64 * 1024 * 1024
"""What one job may ask for in all. A larger picture has none; of a film only the beginning and its index are read."""
LONGEST_SIDE: Final = 640
"""In pixels."""
MOST_THUMBNAIL_BYTES: Final = 1024 * 1024
MOST_JOBS: Final = 50
"""After so many a child has served; the next one begins without what they left behind."""
JOB_SECONDS: Final = 10.0
"""Without the time that its parent takes to read."""

MOST_PICTURE_PIXELS: Final = 64_000_000
MOST_FILM_PIXELS: Final = 8192 * 4320
MOST_FILM_MS: Final = 60 * 60 * 1000

# Reasons of a refusal.
NOT_DECODABLE: Final = "NOT_DECODABLE"
TOO_MANY_PIXELS: Final = "TOO_MANY_PIXELS"
TOO_LONG: Final = "TOO_LONG"
TOO_LARGE: Final = "TOO_LARGE"
NOT_READ: Final = "NOT_READ"
NO_LIBRARY: Final = "NO_LIBRARY"
REASONS: Final = frozenset(
    {NOT_DECODABLE, TOO_MANY_PIXELS, TOO_LONG, TOO_LARGE, NOT_READ, NO_LIBRARY}
)


class ProtocolError(Exception):
    """The other side does not keep to this."""


@dataclass(frozen=True, slots=True)
class Hello:
    """The child is ready. Whatever it dies of before is no file's fault."""


@dataclass(frozen=True, slots=True)
class Job:
    """A file to be pictured: its media type as it was sniffed, its size in bytes."""

    content_type: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Read:
    """The child wants these bytes of the file."""

    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Piece:
    """They are here; none when they can not be read."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """The picture, and what the file turned out to be as it is shown; `duration_ms` 0 for pictures."""

    width: int
    height: int
    duration_ms: int
    webp: bytes


@dataclass(frozen=True, slots=True)
class Refusal:
    """There will be no picture; one of REASONS."""

    reason: str


Message = Hello | Job | Read | Piece | Thumbnail | Refusal

_LONGEST: Final = {
    b"H": 0,
    b"J": _JOB.size + 100,
    b"R": _READ.size,
    b"P": LONGEST_READ_BYTES,
    b"T": _MEASURES.size + MOST_THUMBNAIL_BYTES,
    b"N": 100,
}


def packed(message: Message) -> bytes:
    """The message as it goes through the pipe."""
    kind, payload = _pieces(message)
    return HEAD.pack(kind, len(payload)) + payload


def _pieces(message: Message) -> tuple[bytes, bytes]:
    match message:
        case Hello():
            return b"H", b""
        case Job(content_type, size_bytes):
            return b"J", _JOB.pack(size_bytes) + content_type.encode()
        case Read(offset, length):
            return b"R", _READ.pack(offset, length)
        case Piece(data):
            return b"P", data
        case Thumbnail(width, height, duration_ms, webp):
            return b"T", _MEASURES.pack(width, height, duration_ms) + webp
        case Refusal(reason):
            return b"N", reason.encode()


def announced(head: bytes) -> tuple[bytes, int]:
    """The kind of the message behind a head, and the length of its payload. Raises ProtocolError."""
    kind, length = HEAD.unpack(head)
    if length > _LONGEST.get(kind, -1):
        raise ProtocolError(f"{kind!r} with {length} bytes")
    return kind, length


def unpacked(kind: bytes, payload: bytes) -> Message:
    """The message. Raises ProtocolError."""
    try:
        match kind:
            case b"H":
                return Hello()
            case b"J":
                (size_bytes,) = _JOB.unpack_from(payload)
                return Job(payload[_JOB.size :].decode(), size_bytes)
            case b"R":
                return Read(*_READ.unpack(payload))
            case b"P":
                return Piece(payload)
            case b"T":
                width, height, duration_ms = _MEASURES.unpack_from(payload)
                return Thumbnail(width, height, duration_ms, payload[_MEASURES.size :])
            case b"N":
                return Refusal(payload.decode())
    except (struct.error, ValueError) as error:
        raise ProtocolError(str(error)) from None
    raise ProtocolError(f"{kind!r} is not known")

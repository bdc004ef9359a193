"""Bytes that arrive in messages: a header first, then chunks."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from reelgate.common.v1 import media_pb2


@dataclass(frozen=True, slots=True)
class Span:
    """The part that is wanted: `length` 0 means up to the end, a negative `offset` counts from it."""

    offset: int = 0
    length: int = 0


WHOLE = Span()


@dataclass(frozen=True, slots=True)
class Download:
    """Bytes on their way. `size_bytes` and `length` are -1 when the source does not say."""

    content_type: str
    size_bytes: int
    offset: int
    length: int
    file_name: str
    chunks: AsyncIterator[bytes] = field(repr=False)


def byte_range(span: Span) -> media_pb2.ByteRange | None:
    """The message; None for the whole, which even a medium of no bytes has."""
    if span == WHOLE:
        return None
    return media_pb2.ByteRange(offset=span.offset, length=span.length)

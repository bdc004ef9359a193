"""Bytes that arrive in messages: a header first, then chunks."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field


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

"""Conditional and ranged requests (RFC 9110), for one range."""

import re
from dataclasses import dataclass
from typing import Final

from aiohttp import hdrs, web

from services.frontend_bff.clients.downloads import Span
from services.kernel.errors import OutOfRange

_RANGE: Final = re.compile(
    r"bytes\s*=\s*(?:(\d{1,30})-(\d{0,30})|-(\d{1,30}))", re.IGNORECASE | re.ASCII
)
_MAX: Final = 2**63 - 1


def requested(request: web.Request, etag: str | None) -> Span | None:
    """The range that is asked for; None: the whole.

    RFC 9110 lets us ignore several ranges, and tells us to ignore a malformed one, one of a HEAD, and one
    whose If-Range names another version. Raises OutOfRange for a suffix of no bytes.
    """
    match = _RANGE.fullmatch(request.headers.get(hdrs.RANGE, "").strip())
    if match is None or request.method != hdrs.METH_GET:
        return None
    if request.headers.get(hdrs.IF_RANGE, etag) != etag:
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        if int(suffix) == 0:
            raise OutOfRange("The range is empty.")
        return Span(-min(int(suffix), _MAX))
    offset = min(int(first), _MAX)
    if not last:
        return Span(offset)
    if int(last) < offset:
        return None
    return Span(offset, min(int(last) - offset + 1, _MAX))


@dataclass(frozen=True, slots=True)
class Slice:
    """Bytes of a medium whose size is known."""

    offset: int
    length: int

    def content_range(self, size: int | None) -> str:
        """The Content-Range of an answer that holds it; `size` None when the whole's is not known."""
        end = self.offset + self.length - 1
        return f"bytes {self.offset}-{end}/{'*' if size is None else size}"


def resolve(span: Span, size: int) -> Slice:
    """What `span` means for a medium of `size` bytes. Raises OutOfRange (metadata size)."""
    offset = max(0, size + span.offset) if span.offset < 0 else span.offset
    if offset >= size:
        raise OutOfRange("The range lies behind the end.", metadata={"size": str(size)})
    rest = size - offset
    return Slice(offset, min(span.length or rest, rest))


def is_known(request: web.Request, etag: str) -> bool:
    """The caller has this version (If-None-Match)."""
    header = request.headers.get(hdrs.IF_NONE_MATCH)
    if header is None:
        return False
    known = {tag.strip().removeprefix("W/") for tag in header.split(",")}
    return "*" in known or etag in known

"""What the head of a source's answer promises, and whether another answer goes on where the first one broke."""

import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

from multidict import CIMultiDictProxy

from services.kernel.errors import Aborted

Headers = CIMultiDictProxy[str]

_STRONG_TAG: Final = re.compile(r'"[!#-~]*"')
_CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})")
_SETTLED_SECONDS: Final = (
    60.0  # a file changed this long ago is not changed again within the same second
)


@dataclass(frozen=True, slots=True)
class Promise:
    """A body's size in bytes (0: not said), and what names exactly this version of it ("": nothing does)."""

    size_bytes: int
    validator: str


def promise(status: int, headers: Headers) -> Promise:
    """What the first answer promises. Raises Aborted when it is no whole body whose end can be told."""
    if status != 200:
        raise Aborted(
            f"The source answered with status {status}.",
            reason="SOURCE_FAILED",
            metadata={"status": str(status)},
        )
    if not _is_identity(headers):
        raise Aborted(
            "The source compresses its answer although it was asked not to.",
            reason="SOURCE_FAILED",
        )
    if _is_chunked(headers):
        return Promise(0, "")
    lengths = headers.getall("Content-Length", [])
    if not lengths:
        # Only the end of the connection would end it: nobody could tell a broken one from a whole one.
        raise Aborted("The source does not say where its answer ends.", reason="SOURCE_FAILED")
    return Promise(int(lengths[0]), _validator(headers))


def continues(promised: Promise, offset: int, status: int, headers: Headers) -> bool:
    """Whether an answer brings the bytes from `offset` to the end of the very body that was promised."""
    if status != 206 or not _is_identity(headers):
        return False
    ranges = headers.getall("Content-Range", [])
    found = _CONTENT_RANGE.fullmatch(ranges[0].strip()) if len(ranges) == 1 else None
    size = promised.size_bytes
    if found is None or tuple(map(int, found.groups())) != (offset, size - 1, size):
        return False
    if not _is_chunked(headers) and headers.getall("Content-Length", []) != [str(size - offset)]:
        return False
    # Servers that honour Range and not If-Range give the end of whatever they have now: they must say which it is.
    return (headers.get("ETag") or headers.get("Last-Modified")) == promised.validator


def _validator(headers: Headers) -> str:
    """What `If-Range` may hold (RFC 9110, 13.1.5): a strong tag, or a date if there is no tag and it is old enough."""
    if tag := headers.get("ETag", ""):
        return tag if _STRONG_TAG.fullmatch(tag) else ""
    modified = headers.get("Last-Modified", "")
    try:
        age = parsedate_to_datetime(headers.get("Date", "")) - parsedate_to_datetime(modified)
    except (ValueError, TypeError):
        return ""
    return modified if age.total_seconds() >= _SETTLED_SECONDS else ""


def _is_identity(headers: Headers) -> bool:
    return headers.get("Content-Encoding", "").strip().lower() in {"", "identity"}


def _is_chunked(headers: Headers) -> bool:
    return "chunked" in headers.get("Transfer-Encoding", "").lower()

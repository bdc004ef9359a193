"""Sources that break off and are asked to go on: what names the version they began with, and what they give then."""

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from tests.faults.storage.wire import Play, Request, answer, head, reset

_DATE: Final = "Date: Sun, 22 Nov 2026 12:00:00 GMT"
VALIDATORS: Final[Mapping[str, tuple[str, ...]]] = {
    "a strong tag": ('ETag: "one"',),
    "an old date": (_DATE, "Last-Modified: Sat, 21 Nov 2026 12:00:00 GMT"),
    "a weak tag": ('ETag: W/"one"',),
    "a date of this minute": (_DATE, "Last-Modified: Sun, 22 Nov 2026 11:59:30 GMT"),
    "a broken date": (_DATE, "Last-Modified: yesterday"),
    "nothing": (),
}
CAN_RESUME: Final = frozenset({"a strong tag", "an old date"})
"""Which of them name a version exactly."""


@dataclass(frozen=True, slots=True)
class Versions:
    """The bytes that were begun with, others of the same size, and what names the first: header lines."""

    first: bytes
    second: bytes
    named: tuple[str, ...]


Second = Callable[[Versions, int], bytes]
"""What is sent when the source is asked for what lies behind an offset."""


def _rest(body: bytes, offset: int, *lines: str, span: str = "") -> bytes:
    size = len(body)
    where = span or f"bytes {offset}-{size - 1}/{size}"
    return answer(body[offset:], f"Content-Range: {where}", *lines, status="206 Partial Content")


def _right(versions: Versions, offset: int) -> bytes:
    return _rest(versions.first, offset, *versions.named)


SECONDS: Final[Mapping[str, Second]] = {
    "goes on": _right,
    "goes on, cut again": _right,
    "goes on with another version": lambda those, at: _rest(those.second, at, 'ETag: "two"'),
    "goes on with a later version": lambda those, at: _rest(
        those.second, at, "Last-Modified: Sun, 22 Nov 2026 11:00:00 GMT"
    ),
    "goes on with one that is longer": lambda those, at: _rest(
        those.second + b"more", at, *those.named
    ),
    "goes on elsewhere": lambda those, at: _rest(
        those.second, at, *those.named, span=f"bytes {at + 1}-{len(those.first)}/{len(those.first)}"
    ),
    "goes on and does not say where": lambda those, at: answer(
        those.second[at:], *those.named, status="206 Partial Content"
    ),
    "says so and begins anew": lambda those, at: answer(
        those.second,
        *those.named,
        f"Content-Range: bytes {at}-{len(those.first) - 1}/{len(those.first)}",
        status="206 Partial Content",
    ),
    "begins anew": lambda those, at: answer(those.first, *those.named),
    "gives another version": lambda those, at: answer(those.second, 'ETag: "two"'),
    "goes on compressed": lambda those, at: _rest(
        those.second, at, *those.named, "Content-Encoding: gzip"
    ),
    "gives several ranges": lambda those, at: answer(
        those.second, "Content-Type: multipart/byteranges; boundary=x", status="206 Partial Content"
    ),
    "says 412": lambda those, at: answer(b"", status="412 Precondition Failed"),
    "says 416": lambda those, at: answer(b"", status="416 Range Not Satisfiable"),
    "says 404": lambda those, at: answer(b"gone", status="404 Not Found"),
    "says 500": lambda those, at: answer(b"oops", status="500 Oops"),
    "sends away": lambda those, at: head(
        "302 Found", "Content-Length: 0", "Connection: close", "Location: http://127.0.0.1:1/x"
    ),
    "breaks off at once, for ever": _right,
}
"""In the order of their worth: a slice takes the first ones."""


def broken_off(
    versions: Versions, cut: int, second: str, chance: random.Random, *, rst: bool
) -> Play:
    """Sends `cut` bytes of the first version's body; when asked to go on, does what `second` names."""
    cuts_left = {"goes on, cut again": chance.randint(1, 3), "breaks off at once, for ever": 99}
    again = cuts_left.get(second, 0)

    async def play(request: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal again
        asked = request.headers.get("range", "")
        if not asked:
            whole = answer(versions.first, *versions.named)
            sent = whole[: len(whole) - len(versions.first) + cut]
        else:
            assert request.headers["if-range"] in " ".join(versions.named)
            whole = SECONDS[second](versions, int(asked.removeprefix("bytes=").rstrip("-")))
            top = whole.index(b"\r\n\r\n") + 4
            if not again:
                writer.write(whole)
                await writer.drain()
                return
            again -= 1
            more = 0 if again > 9 else chance.randrange(len(whole) - top)
            sent = whole[: top + more]
        writer.write(sent)
        await writer.drain()
        if rst:
            reset(writer)

    return play

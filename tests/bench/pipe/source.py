"""A server of made-up files that needs no disk and costs next to nothing. Argument: host:port.

`GET /{bytes}.mp4` gives that many bytes, always the same ones.
"""

import hashlib
import re
import sys
from collections.abc import Iterator
from functools import cache
from typing import Final

from services.studio.content import SyntheticBody
from tests.bench.pipe.http_threads import Request, serve

_PIECE: Final = 1024 * 1024
# One MiB from the middle of the body; in front of each stands its number.
_FRONT: Final = 8


def pieces(size: int) -> Iterator[tuple[bytes | memoryview, ...]]:
    """The body: what SyntheticBody gives, MiB by MiB, most of it without a copy."""
    body = SyntheticBody("bench", size)
    block = memoryview(SyntheticBody("bench", 3 * _PIECE).read(_PIECE, _PIECE))
    for start in range(0, size, _PIECE):
        if start and size - start >= _PIECE:
            number = (start // _PIECE).to_bytes(_FRONT, "big")
            yield number, block[_FRONT:]
        else:
            yield (body.read(start, _PIECE),)


@cache
def digest(size: int) -> bytes:
    """The SHA-256 of the body of that many bytes."""
    total = hashlib.sha256()
    for each in pieces(size):
        for piece in each:
            total.update(piece)
    return total.digest()


def answer(request: Request) -> None:
    """Sends a body."""
    found = re.fullmatch(r"/([0-9]+)\.mp4", request.target)
    if found is None:
        request.answer("404 Not Found")
        return
    request.answer("200 OK", headers={"Content-Length": found[1], "Content-Type": "video/mp4"})
    if request.method != "HEAD":
        for each in pieces(int(found[1])):
            request.connection.send(*each)


if __name__ == "__main__":
    serve(sys.argv[1], answer)

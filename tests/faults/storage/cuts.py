"""A body as it goes over the wire, and the places where it can be cut."""

import asyncio
import random
from dataclasses import dataclass
from typing import Final, Self

from tests.faults.storage.wire import Play, Request, head, reset
from tests.integration.storage.harness import MIB

PART_BYTES: Final = 5 * MIB
PLACES: Final = (
    "anywhere",
    "anywhere",
    "at a part border",
    "in the framing",
    "in the last bytes",
    "before the body",
    "in the head",
)


@dataclass(frozen=True, slots=True)
class Framed:
    """An answer on the wire. `chunks`: where each begins in the body and on the wire; one for a plain body."""

    wire: bytes
    chunks: tuple[tuple[int, int], ...]
    body_bytes: int

    @classmethod
    def by_length(cls, body: bytes, *lines: str, status: str = "200 OK") -> Self:
        """With a Content-Length."""
        first = head(status, f"Content-Length: {len(body)}", *lines)
        return cls(first + body, ((0, len(first)),), len(body))

    @classmethod
    def in_chunks(
        cls, body: bytes, chance: random.Random, *lines: str, status: str = "200 OK"
    ) -> Self:
        """In chunks of random sizes."""
        most = 256 * 1024 if len(body) > MIB else chance.choice((100, 10_000, 256 * 1024))
        pieces = [head(status, "Transfer-Encoding: chunked", *lines)]
        chunks, at, sent = [], 0, len(pieces[0])
        while at < len(body):
            piece = body[at : at + chance.randint(1, most)]
            size = b"%x\r\n" % len(piece)
            chunks.append((at, sent + len(size)))
            pieces.append(size + piece + b"\r\n")
            at, sent = at + len(piece), sent + len(pieces[-1])
        return cls(b"".join((*pieces, b"0\r\n\r\n")), tuple(chunks), len(body))

    def cut(self, where: str, chance: random.Random) -> tuple[str, bytes]:
        """What is sent of the wire, at least a byte less than all; and where it was cut indeed."""
        first = self.chunks[0][1]
        match where:
            case "at a part border" if self.body_bytes > PART_BYTES:
                border = PART_BYTES * chance.randint(1, (self.body_bytes - 1) // PART_BYTES)
                body_at, wire_at = max(one for one in self.chunks if one[0] <= border)
                end = wire_at + border - body_at
            case "in the framing" if len(self.chunks) > 1:
                end = chance.choice(self.chunks)[1] - chance.randint(1, 4)
            case "in the last bytes":
                end = len(self.wire) - chance.randint(1, min(9, len(self.wire) - first))
            case "before the body":
                end = first
            case "in the head":
                end = chance.randrange(first)
            case _:
                where = "anywhere"
                end = chance.randrange(first, len(self.wire))
        return where, self.wire[:end]


def cut_off(sent: bytes, *, rst: bool) -> Play:
    """Sends so much, then ends the connection with a FIN or a RST."""

    async def play(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        await writer.drain()
        if rst:
            reset(writer)

    return play

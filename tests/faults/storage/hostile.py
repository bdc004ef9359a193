"""Sources that do what sources must not do, each with what is to be said about it."""

import asyncio
import gzip
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tests.faults.storage.wire import Play, Request, answer, head, reset, saying
from tests.integration.storage.harness import MIB, picture, video

MOVIE: Final = video(200_000)
LARGE: Final = video(12 * MIB)
KEPT: Final = "KEPT"
_LENGTH: Final = f"Content-Length: {len(MOVIE)}"
_CHUNKED: Final = "Transfer-Encoding: chunked"
_HTML: Final = b"<!doctype html><html><body>Sorry, gone.</body></html>" * 20


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Addresses that sources may need: an origin on this machine that was not allowed, two that were."""

    inside: str
    plain: str
    secure: str

    def named(self, text: str) -> str:
        """The text with the names of these origins replaced by themselves."""
        return (
            text.replace("INSIDE", self.inside)
            .replace("https://PLAIN", self.plain.replace("http:", "https:"))
            .replace("SECURE", self.secure)
        )


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of hostile source. `said`: the reason of the refusal and what distinguishes it, or KEPT.

    `secure`: it is served behind TLS. `url`: where it is, unless it is a play of ours.
    """

    name: str
    play: Callable[[Elsewhere], Play]
    said: str
    secure: bool = False
    url: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


def hanging(*pieces: bytes) -> Play:
    """Writes these bytes, then nothing for ever."""

    async def play(request: Request, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        await asyncio.Event().wait()

    return play


def endless(first: bytes, again: bytes, *, pause: float = 0.002) -> Play:
    """Writes the one, then the other for ever, with a pause between them."""

    async def play(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        while True:
            writer.write(again)
            await writer.drain()
            await asyncio.sleep(pause)

    return play


def dripping(whole: bytes, pieces: int, pause: float) -> Play:
    """Writes it in so many pieces, slowly."""

    async def play(request: Request, writer: asyncio.StreamWriter) -> None:
        size = -(-len(whole) // pieces)
        for at in range(0, len(whole), size):
            writer.write(whole[at : at + size])
            await writer.drain()
            await asyncio.sleep(pause)

    return play


def breaking(*pieces: bytes) -> Play:
    """Writes these bytes, then resets the connection."""

    async def play(request: Request, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        reset(writer)

    return play


def redirecting(location: str, status: str = "302 Found") -> Play:
    """Sends away; `{n}` in the location counts up."""
    count = 0

    async def play(request: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        to = location.replace("{n}", str(count)).encode("utf-8", "surrogateescape")
        writer.write(
            b"HTTP/1.1 %b\r\nContent-Length: 0\r\nLocation: %b\r\n" % (status.encode(), to)
        )
        writer.write(b"Connection: close\r\n\r\n")
        await writer.drain()

    return play


def once_then(first: Play, later: Play) -> Play:
    """One for the first request, the other for those behind it."""
    plays = [first]

    async def play(request: Request, writer: asyncio.StreamWriter) -> None:
        await (plays.pop() if plays else later)(request, writer)

    return play


def _always(play: Play) -> Callable[[Elsewhere], Play]:
    return lambda elsewhere: play


def _redirects(location: str) -> Callable[[Elsewhere], Play]:
    return lambda elsewhere: redirecting(elsewhere.named(location))


def _case(name: str, play: Play, said: str, **options: Any) -> Case:
    return Case(name, _always(play), said, options=options)


TIMEOUT: Final = "SOURCE_FAILED timeout"
RESET: Final = "SOURCE_FAILED reset"
PROTOCOL: Final = "SOURCE_FAILED protocol"
REDIRECTS: Final = "SOURCE_FAILED redirects"
KIND: Final = "SOURCE_FAILED another kind"
COMPRESSED: Final = "SOURCE_FAILED compresses"
UNBOUNDED: Final = "SOURCE_FAILED does not say where"
EMPTY: Final = "SOURCE_FAILED empty"
TOO_LARGE: Final = "OBJECT_TOO_LARGE"
ADDRESS: Final = "SOURCE_REFUSED address"
PORT: Final = "SOURCE_REFUSED port"
URL: Final = "SOURCE_REFUSED url"
DOWNGRADE: Final = "SOURCE_REFUSED downgrade"

_WAITING: Final = (
    _case("hangs before its head", hanging(), TIMEOUT),
    _case("hangs in its status line", hanging(b"HTTP/1.1 20"), TIMEOUT),
    _case("hangs in its headers", hanging(b"HTTP/1.1 200 OK\r\nContent-Le"), TIMEOUT),
    _case("hangs before its body", hanging(head("200 OK", _LENGTH)), TIMEOUT),
    _case("hangs in its body", hanging(head("200 OK", _LENGTH), MOVIE[:100_000]), TIMEOUT),
    _case("hangs in its second part", hanging(answer(LARGE)[: 7 * MIB]), TIMEOUT),
    _case("hangs in a chunk's size", hanging(head("200 OK", _CHUNKED), b"1"), TIMEOUT),
    _case(
        "hangs before the last chunk",
        hanging(head("200 OK", _CHUNKED), b"%x\r\n%b\r\n" % (len(MOVIE), MOVIE)),
        TIMEOUT,
    ),
    _case("drips its head for ever", endless(b"HTTP/1.1 200 OK\r\nX: ", b"x", pause=0.3), TIMEOUT),
    _case(
        "drips chunks for ever",
        endless(head("200 OK", _CHUNKED), b"4\r\nabcd\r\n", pause=0.3),
        TIMEOUT,
    ),
    _case(
        "drips its second part for ever",
        endless(answer(LARGE)[: 7 * MIB], b"x", pause=0.3),
        TIMEOUT,
    ),
    _case("drips, but in time", dripping(answer(MOVIE), 8, 0.2), KEPT),
    _case(
        "says 100 Continue for ever",
        endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n", pause=0.01),
        TIMEOUT,
    ),
)

_ENDLESS: Final = (
    _case(
        "sends chunks for ever",
        endless(
            head("200 OK", _CHUNKED) + b"18\r\n" + MOVIE[:24] + b"\r\n",
            b"10000\r\n" + bytes(65536) + b"\r\n",
        ),
        TOO_LARGE,
        max_size_bytes=6 * MIB,
    ),
    _case("promises more than is accepted", saying(answer(LARGE)), TOO_LARGE, max_size_bytes=MIB),
    _case(
        "promises an exabyte",
        hanging(head("200 OK", f"Content-Length: {1 << 60}"), MOVIE),
        TOO_LARGE,
    ),
    _case("sends headers for ever", endless(b"HTTP/1.1 200 OK\r\n", b"X-Y: z\r\n" * 500), PROTOCOL),
    _case("sends one header for ever", endless(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 65536), PROTOCOL),
    _case("sends a status line for ever", endless(b"HTTP/1.1 200 ", b"O" * 65536), PROTOCOL),
    _case(
        "sends a chunk's size for ever",
        endless(head("200 OK", _CHUNKED), b"0" * 65536),
        TIMEOUT,
    ),
    _case(
        "sends a chunk's extension for ever",
        endless(head("200 OK", _CHUNKED) + b"5;", b"x" * 65536),
        TIMEOUT,
    ),
    _case(
        "sends trailers for ever",
        endless(
            head("200 OK", _CHUNKED) + b"%x\r\n%b\r\n0\r\n" % (len(MOVIE), MOVIE),
            b"X-Y: z\r\n" * 500,
        ),
        PROTOCOL,
    ),
    _case(
        "sends 1,000 headers",
        saying(answer(MOVIE, *(f"X-{number}: y" for number in range(1000)))),
        PROTOCOL,
    ),
    _case("sends a header of 1 MB", saying(answer(MOVIE, f"X: {'y' * MIB}")), PROTOCOL),
)

_LENGTHS: Final = (
    _case("gives less than it promised", saying(answer(MOVIE)[:-1]), RESET),
    _case("gives less, then a reset", breaking(answer(MOVIE)[:-1]), RESET),
    # By HTTP what follows is no part of the answer, and nobody can wait to see whether something does.
    _case("gives more than it promised", saying(answer(MOVIE) + b"more" * 100), KEPT),
    _case(
        "promises nothing and gives something",
        saying(head("200 OK", "Content-Length: 0") + MOVIE),
        PROTOCOL,
    ),
    _case("promises 0 bytes", saying(answer(b"")), EMPTY),
    _case("gives no bytes in chunks", saying(head("200 OK", _CHUNKED), b"0\r\n\r\n"), EMPTY),
    _case(
        "does not say where it ends", saying(head("200 OK", "Connection: close") + MOVIE), UNBOUNDED
    ),
    _case(
        "states two lengths",
        saying(head("200 OK", _LENGTH, "Content-Length: 7") + MOVIE),
        PROTOCOL,
    ),
    _case("states length and chunks", saying(head("200 OK", _LENGTH, _CHUNKED) + MOVIE), PROTOCOL),
    *(
        _case(
            f"states the length {text!r}",
            saying(head("200 OK", f"Content-Length: {text}") + MOVIE),
            PROTOCOL,
        )
        for text in ("-5", "+5", "5 5", "5, 5", "0x10", "1e3", "", "many", "9" * 30)
    ),
    *(
        _case(
            f"states the chunk size {size!r}",
            saying(head("200 OK", _CHUNKED), size + b"\r\n" + MOVIE),
            PROTOCOL,
        )
        for size in (b"zz", b"-5", b"0x5", b"", b"f" * 30)
    ),
    _case(
        "ends a chunk elsewhere",
        saying(head("200 OK", _CHUNKED), b"5\r\n" + MOVIE[:9] + b"\r\n0\r\n\r\n"),
        PROTOCOL,
    ),
)

_KINDS: Final = (
    _case("calls a page a video", saying(answer(_HTML, "Content-Type: video/mp4")), KIND),
    _case("calls a video a page", saying(answer(MOVIE, "Content-Type: text/html")), KEPT),
    _case("gives an error as JSON", saying(answer(b'{"error": "expired"}')), KIND),
    _case("gives a picture for a video", saying(answer(picture(5000))), "SOURCE_FAILED image/png"),
    _case("gives a ZIP", saying(answer(b"PK\x03\x04" + bytes(1000))), KIND),
    _case("gives a program", saying(answer(b"\x7fELF" + bytes(1000))), KIND),
    _case("gives zeros", saying(answer(bytes(1000))), KIND),
    _case("gives three bytes", saying(answer(MOVIE[:3])), KIND),
    _case("gives the signature of a video, late", saying(answer(b"  " + MOVIE)), KIND),
    *(
        _case(
            f"compresses with {coding}",
            saying(answer(gzip.compress(MOVIE), f"Content-Encoding: {coding}")),
            COMPRESSED,
        )
        for coding in ("gzip", "x-gzip", "deflate", "br", "zstd", "identity, gzip", "nonsense")
    ),
    _case(
        "compresses under another name",
        saying(
            head("200 OK", "Transfer-Encoding: gzip, chunked"),
            b"5\r\n\x1f\x8b\x08\x00\x00\r\n0\r\n\r\n",
        ),
        KIND,
    ),
    _case("compresses and does not say so", saying(answer(gzip.compress(MOVIE))), KIND),
    _case("says identity", saying(answer(MOVIE, "Content-Encoding: identity")), KEPT),
)

_STATUSES: Final = (
    *(
        _case(f"answers {status}", saying(answer(MOVIE, status=status)), f"SOURCE_FAILED {status[:3]}")
        for status in (
            "201 Created", "203 Other", "206 Partial Content", "300 Choices", "400 Bad", "401 No",
            "403 No", "404 Gone", "407 Proxy", "410 Gone", "416 Range", "429 Slow", "451 Law", "500 Oops",
            "502 Bad", "503 Busy", "504 Late", "599 Odd",
        )
    ),
    *(
        _case(f"answers {status}", saying(head(status, "Connection: close")), f"SOURCE_FAILED {status[:3]}")
        for status in ("204 Empty", "205 Reset", "304 Same", "301 Moved")
    ),
    _case(
        "answers a part of it",
        saying(answer(MOVIE, "Content-Range: bytes 0-199999/400000", status="206 Partial Content")),
        "SOURCE_FAILED 206",
    ),
    _case(
        "switches protocols",
        saying(head("101 Switching", "Upgrade: h2c", "Connection: upgrade") + MOVIE),
        "SOURCE_FAILED 101",
    ),
    _case("hints before it answers", saying(head("103 Early Hints", "Link: </x>") + answer(MOVIE)), KEPT),
    *(
        _case(f"answers {line!r}", saying(line + b"\r\n\r\n" + MOVIE), PROTOCOL)
        for line in (
            b"SSH-2.0-OpenSSH_9", b"HTTP/1.1", b"HTTP/1.1 OK", b"HTTP/1.1 20 OK", b"HTTP/1.1 2000 OK",
            b"HTTP/9.9 200 OK", b"ICY 200 OK", b"\x15\x03\x01\x00\x02\x02\x28", b"\x00" * 64,
        )
    ),
    _case("answers without a head", saying(MOVIE), PROTOCOL),
    _case(
        "folds a header",
        saying(b"HTTP/1.1 200 OK\r\nX: a\r\n Content-Length: 5\r\n\r\n" + MOVIE),
        UNBOUNDED,
    ),
    _case(
        "names a header badly",
        saying(b"HTTP/1.1 200 OK\r\nContent Length: 5\r\n\r\n" + MOVIE),
        PROTOCOL,
    ),
)  # fmt: skip

_CLOSING: Final = (
    _case("closes at once", saying(), RESET),
    _case("resets at once", breaking(), RESET),
    _case("closes in its status line", saying(b"HTTP/1.1 20"), RESET),
    _case("closes in its headers", saying(b"HTTP/1.1 200 OK\r\nContent-"), RESET),
    _case("closes before its body", saying(head("200 OK", _LENGTH)), RESET),
    _case("resets in its second part", breaking(answer(LARGE)[: 7 * MIB]), RESET),
)


def _sent_to(what: str, location: str, said: str, *, secure: bool = False) -> Case:
    return Case(f"redirects to {what}", _redirects(location), said, secure=secure)


_REDIRECTS: Final = (
    _sent_to("a private address", "INSIDE/x.mp4", PORT),
    _sent_to("a private address, usual port", "http://127.0.0.1/x.mp4", ADDRESS),
    _sent_to("a name of this machine", "http://localhost/x.mp4", ADDRESS),
    _sent_to("the metadata", "http://169.254.169.254/latest/meta-data/", ADDRESS),
    _sent_to("the metadata, IPv6", "http://[fd00:ec2::254]/latest/", ADDRESS),
    _sent_to("a number", "http://2130706433/x.mp4", URL),
    _sent_to("a file", "file:///etc/passwd", URL),
    _sent_to("gopher", "gopher://127.0.0.1:70/x", URL),
    _sent_to("data", "data:video/mp4;base64,AAAA", URL),
    _sent_to("no address", "http://", URL),
    _sent_to("a user", "http://a@example.com/", URL),
    _sent_to("bytes", "http://\udcff\udcfe/", URL),
    _sent_to("http from https", "http://example.com/x.mp4", DOWNGRADE, secure=True),
    _sent_to("itself for ever", "", "SOURCE_FAILED 302"),
    _sent_to("itself with a number", "?{n}", REDIRECTS),
    _sent_to("another path for ever", "/again-{n}.mp4", "SOURCE_FAILED 404"),
    *(
        Case(
            f"redirects to itself with {status}",
            _always(once_then(redirecting("?again", status), saying(answer(MOVIE)))),
            KEPT,
        )
        for status in ("301 M", "302 F", "303 S", "307 T", "308 P")
    ),
    Case(
        "redirects without saying where",
        _always(saying(head("302 Found", "Content-Length: 0"))),
        "SOURCE_FAILED 302",
    ),
    Case(
        "hangs behind a redirect",
        _always(once_then(redirecting("?again"), hanging())),
        TIMEOUT,
    ),
)

_NO_SERVER: Final = (
    Case(
        "has a name that is not known",
        _always(saying()),
        "SOURCE_FAILED dns",
        url="http://nowhere.invalid/x.mp4",
    ),
    Case(
        "is not there", _always(saying()), "SOURCE_FAILED connect", url="http://127.0.0.1:1/x.mp4"
    ),
    Case("hangs up on TLS", _always(saying()), "SOURCE_FAILED connect", url="https://PLAIN/x.mp4"),
    Case(
        "has a certificate for another name",
        _always(saying()),
        "SOURCE_FAILED tls",
        url="SECURE/x.mp4",
    ),
)

CASES: Final = (
    *_WAITING, *_ENDLESS, *_LENGTHS, *_KINDS, *_STATUSES, *_CLOSING, *_REDIRECTS, *_NO_SERVER
)  # fmt: skip

"""Reading an address that came from outside, and the rules it has to keep."""

import ipaddress
import re
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from yarl import URL

from services.kernel.egress.addresses import Address, Reach, classify
from services.kernel.egress.errors import EgressRefused

DEFAULT_PORTS: Final = frozenset({80, 443, 8080, 8443})
_LONGEST_URL: Final = 16_384  # characters; signed URLs of 5,000 exist
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
# The one shape we read: no user, no percent sign or backslash in the authority, a plain port.
_URL: Final = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<authority>(?:\[[0-9a-f:.]+\]|[^\s\[\]@:%\\/?#]+)(?::[0-9]{1,5})?)"
    r"(?P<tail>(?:[/?][^#]*)?)(?:#.*)?",
    re.IGNORECASE | re.DOTALL,
)
_NAME: Final = re.compile(r"(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}\.?")
_NUMERIC_END: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\.?")  # as WHATWG URL has it
_EXACT_TAIL: Final = re.compile(r"[!-\[\]-~]*")  # printable ASCII without space and backslash


class Origin(NamedTuple):
    """Scheme, host (lower case, ASCII, IPv6 without brackets) and port of an address."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


class Target(NamedTuple):
    """An address that was read: the URL to request, whose host is the one that was judged."""

    url: URL
    origin: Origin
    literal: Address | None
    """The host, if it is an IP address."""


@lru_cache(maxsize=512)
def read_url(text: str) -> Target:
    """Read an absolute http(s) URL, path and query kept to the letter, the fragment dropped.

    Raises EgressRefused for everything two programs could read differently: users in the
    authority, percent-encoded or non-canonical hosts (`127.1`, `0x7f.1`, `2130706433`), IPv6
    scopes, backslashes, control characters.
    """
    match = _URL.fullmatch(text)
    if match is None or len(text) > _LONGEST_URL or _CONTROL.search(text):
        raise _unreadable(text)
    tail = match["tail"]
    try:
        # Path and query cannot influence how the authority is read: they come after it.
        authority = URL(f"{match['scheme']}://{match['authority']}")  # IDNA, case, default port
        host = authority.raw_host or ""
        if not authority.port:
            raise _unreadable(text)
        tail = tail if tail.startswith("/") else f"/{tail}"
        exact = _EXACT_TAIL.fullmatch(tail) is not None
        root = f"{authority.scheme}://{authority.host_port_subcomponent}"
        url = URL(root + tail, encoded=exact)
        literal = _literal(host)
    except ValueError as error:
        raise _unreadable(text) from error
    if literal is None and not (len(host) <= 254 and _NAME.fullmatch(host)):
        raise _unreadable(text)
    # As in the URL, whose host has no trailing dot: the origin is what is connected to.
    return Target(url, Origin(url.scheme, host.removesuffix("."), authority.port), literal)


def _literal(host: str) -> Address | None:
    """Raises ValueError if the host is a number in any spelling but the canonical one."""
    if ":" in host:
        return ipaddress.IPv6Address(host)
    if _NUMERIC_END.fullmatch(host):
        return ipaddress.IPv4Address(host)
    return None


def _unreadable(text: str) -> EgressRefused:
    return EgressRefused("url", detail=f"cannot be read as one http(s) address: {text[:200]!r}")


def origin_of(url: str) -> Origin:
    """The origin of an absolute http(s) URL. Raises EgressRefused."""
    return read_url(url).origin


def parse_origins(text: str) -> frozenset[Origin]:
    """Read a comma list of origins such as `http://127.0.0.1:9000,https://minio.lan`.

    Raises ValueError, with the bad piece, for what is no origin or can never be reached.
    """
    origins = set()
    for piece in filter(None, map(str.strip, text.split(","))):
        try:
            url, origin, literal = read_url(piece)
        except EgressRefused:
            raise ValueError(f"not an origin (http://host:port): {piece!r}") from None
        if url.raw_path_qs != "/" or "#" in piece:
            raise ValueError(f"an origin has no path: {piece!r}")
        if literal is not None and classify(literal) is Reach.FORBIDDEN:
            raise ValueError(f"this address can never be allowed: {piece!r}")
        origins.add(origin)
    return frozenset(origins)


@dataclass(frozen=True, slots=True)
class Policy:
    """Where outgoing requests may go."""

    private: frozenset[Origin] = frozenset()
    """Origins that may have private addresses and any port: exact scheme, host and port."""
    ports: frozenset[int] | None = DEFAULT_PORTS
    """Ports of all other origins; None allows every port."""
    https_only: bool = False
    """Refuse http, for allowed origins too."""
    max_redirects: int = 5

    def judge(self, url: str, allow: AbstractSet[Origin] = frozenset()) -> tuple[Target, bool]:
        """Read `url` and apply all rules that need no name resolution.

        `allow` are origins to treat like `private` ones for this request. Returns the target
        and whether its origin may have a private address. Raises EgressRefused.
        """
        target = read_url(url)
        origin, literal = target.origin, target.literal
        if self.https_only and origin.scheme != "https":
            raise EgressRefused("scheme", detail=f"{origin} is not https")
        private = origin in self.private or origin in allow
        if not private and self.ports is not None and origin.port not in self.ports:
            raise EgressRefused("port", detail=f"the port of {origin} is not allowed")
        if literal is not None and not reachable(literal, private=private):
            raise EgressRefused("address", detail=f"{origin} is not allowed")
        return target, private


def reachable(address: Address, *, private: bool) -> bool:
    """Whether `address` may be connected to, by an origin that may be private or not."""
    reach = classify(address)
    return reach is Reach.PUBLIC or (private and reach is Reach.PRIVATE)

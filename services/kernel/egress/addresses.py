"""Which IP addresses belong to the public internet, and which to whom else.

Sources: IANA special-purpose address registries (IPv4 and IPv6), the metadata addresses of the
large clouds. `ipaddress.is_global` is not enough: depending on the Python release it calls NAT64,
6to4, mapped, site-local, multicast and reserved addresses global.
"""

import ipaddress
from enum import Enum, auto
from functools import lru_cache
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Reach(Enum):
    """Where an address leads."""

    PUBLIC = auto()
    """The internet: anybody may name it."""
    PRIVATE = auto()
    """This machine or its network: only an origin that an operator allowed."""
    FORBIDDEN = auto()
    """Metadata, link-local, multicast, translated or reserved: nobody, whatever is allowed."""


def _v4(*networks: str) -> tuple[ipaddress.IPv4Network, ...]:
    return tuple(map(ipaddress.IPv4Network, networks))


def _v6(*networks: str) -> tuple[ipaddress.IPv6Network, ...]:
    return tuple(map(ipaddress.IPv6Network, networks))


_FORBIDDEN_V4: Final = _v4(
    "0.0.0.0/8",  # this network; Linux connects 0.0.0.0 to itself
    "100.100.100.200/32",  # metadata (Alibaba)
    "168.63.129.16/32",  # metadata (Azure)
    "169.254.0.0/16",  # link-local, metadata of most clouds
    "192.0.0.0/24",  # protocol assignments, metadata (Oracle)
    "192.0.2.0/24",  # documentation
    "192.88.99.0/24",  # 6to4 relays
    "198.51.100.0/24",  # documentation
    "203.0.113.0/24",  # documentation
    "224.0.0.0/4",  # multicast
    "240.0.0.0/4",  # reserved, broadcast
)
_PRIVATE_V4: Final = _v4(
    "10.0.0.0/8",
    "100.64.0.0/10",  # carrier-grade NAT, used inside clusters
    "127.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "198.18.0.0/15",  # benchmarks, used by container runtimes
)
# IPv6 is listed the other way round: what is not global unicast is not public.
_GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_V6: Final = _v6(
    "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarks
    "2001:db8::/32",  # documentation
    "2002::/16",  # 6to4
    "3fff::/20",  # documentation
)
_PRIVATE_V6: Final = _v6("::1/128", "fc00::/7")
_FORBIDDEN_V6: Final = _v6("fd00:ec2::/32", "fd20:ce::254/128")  # metadata (AWS, Google)
# A resolver with DNS64 answers with these for every name that has only IPv4: they are as public
# as the IPv4 address they carry. All other translations (mapped, compatible, the local NAT64
# prefix, 6to4, Teredo) have no business in an answer and are never followed.
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


@lru_cache(maxsize=4096)
def classify(address: Address) -> Reach:
    """Say where `address` leads; an IPv6 address with a scope is link-local and forbidden."""
    if isinstance(address, ipaddress.IPv4Address):
        return _classify_v4(address)
    if address.scope_id is not None or any(address in network for network in _FORBIDDEN_V6):
        return Reach.FORBIDDEN
    if any(address in network for network in _PRIVATE_V6):
        return Reach.PRIVATE
    if address in _NAT64:
        carried = _classify_v4(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
        return Reach.PUBLIC if carried is Reach.PUBLIC else Reach.FORBIDDEN
    special = any(address in network for network in _NOT_PUBLIC_V6)
    return Reach.PUBLIC if address in _GLOBAL_UNICAST and not special else Reach.FORBIDDEN


def _classify_v4(address: ipaddress.IPv4Address) -> Reach:
    if any(address in network for network in _FORBIDDEN_V4):
        return Reach.FORBIDDEN
    private = any(address in network for network in _PRIVATE_V4)
    return Reach.PRIVATE if private else Reach.PUBLIC


def is_public(address: Address) -> bool:
    """Whether anybody may make us connect to `address`."""
    return classify(address) is Reach.PUBLIC

"""The gate every connection passes: names are resolved once, every address is judged.

A `Gate` is both hooks aiohttp offers: the resolver (names) and the socket factory (the address
that is really connected to, IP literals too, which never meet a resolver).
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.connector import AddrInfoType

from services.kernel.egress.errors import EgressRefused
from services.kernel.egress.policy import reachable

Lookup = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port → all its IP addresses as text. Raises OSError."""

_MOST_ADDRESSES: Final = 16  # tried per connection, of an answer that may hold hundreds


async def system_lookup(host: str, port: int) -> Sequence[str]:
    """Ask the system's resolver (hosts file, DNS)."""
    loop = asyncio.get_running_loop()
    try:
        infos = await loop.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
        )
    except UnicodeError as error:
        raise socket.gaierror(socket.EAI_NONAME, "not a valid host name") from error
    return [str(sockaddr[0]) for *_, sockaddr in infos]


class Gate(AbstractResolver):
    """Lets connections through to public addresses, and to private ones of certain hosts."""

    def __init__(self, may_be_private: Callable[[str, int], bool], lookup: Lookup) -> None:
        """`may_be_private` says of a host (name or IP literal) and port if it is allowed so."""
        self._may_be_private = may_be_private
        self._lookup = lookup
        self._vouched: set[tuple[str, int]] = set()  # private addresses of allowed names

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Resolve a name; one address that is not allowed refuses the whole answer.

        An attacker's name server mixes public and private addresses, or alternates them: the
        answer judged here is the one connected to, nothing asks again.
        """
        answer = list(dict.fromkeys(await self._lookup(host, port)))
        if not answer:
            raise socket.gaierror(socket.EAI_NONAME, "the name has no address")
        private = self._may_be_private(host, port)
        results: list[ResolveResult] = []
        for text in answer:
            address = ipaddress.ip_address(text)
            if not reachable(address, private=private):
                raise EgressRefused("address", detail=f"{host} resolves to {text}")
            if private:
                self._vouched.add((text, port))
            found = socket.AF_INET if address.version == 4 else socket.AF_INET6
            if family in {socket.AF_UNSPEC, found}:
                results.append(
                    {
                        "hostname": host,
                        "host": text,
                        "port": port,
                        "family": found,
                        "proto": socket.IPPROTO_TCP,
                        "flags": socket.AI_NUMERICHOST,
                    }
                )
        return results[:_MOST_ADDRESSES]

    def open(self, info: AddrInfoType) -> socket.socket:
        """Make the socket for an address, if it may be connected to: the last check of all."""
        family, kind, protocol, _, sockaddr = info
        text, port = str(sockaddr[0]), int(sockaddr[1])
        private = (text, port) in self._vouched or self._may_be_private(text, port)
        if not reachable(ipaddress.ip_address(text), private=private):
            raise EgressRefused("address", detail=f"{text} port {port} is not allowed")
        return socket.socket(family, kind, protocol)

    async def close(self) -> None:
        """Nothing is held open."""

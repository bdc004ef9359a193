"""A listener that nothing may ever connect to, at every address and several ports of this machine."""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Self

import psutil

from deploy.local import ports

# Those that anybody's address may name; a machine may have servers there, or not let us be one.
_USUAL_PORTS: Final = (80, 443, 8443)
_UNUSUAL: Final = 3


class Canary:
    """`touched` is who connected, and what he wanted first."""

    def __init__(self) -> None:
        self.addresses: list[str] = []
        self.ports: list[int] = []
        self.touched: list[str] = []

    @classmethod
    @asynccontextmanager
    async def singing(cls) -> AsyncIterator[Self]:
        """One that listens."""
        canary = cls()
        servers = []
        for port in (*_USUAL_PORTS, *(ports.choose() for _ in range(_UNUSUAL))):
            for address in _own_addresses():
                try:
                    # Not at all addresses at once: 127.0.0.2 has to stay free for a stand-in of a public one.
                    server = await asyncio.start_server(canary._touched, address, port)
                except OSError as error:
                    assert error.errno in {errno.EACCES, errno.EADDRINUSE, errno.EADDRNOTAVAIL}
                    continue
                servers.append(server)
                canary.addresses.append(address)
                canary.ports.append(port)
        canary.addresses = sorted(set(canary.addresses))
        canary.ports = sorted(set(canary.ports))
        try:
            yield canary
        finally:
            for server in servers:
                server.close()

    async def _touched(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        here, there = writer.get_extra_info("sockname"), writer.get_extra_info("peername")
        self.touched.append(f"{there} at {here}: {(await reader.read(200))!r}")
        writer.close()


def _own_addresses() -> list[str]:
    entries = [entry for found in psutil.net_if_addrs().values() for entry in found]
    internet = {socket.AF_INET, socket.AF_INET6}
    # Without those of one link only, which have no meaning without a scope.
    own = [one.address for one in entries if one.family in internet and "%" not in one.address]
    return list(dict.fromkeys(("127.0.0.1", "::1", *own)))

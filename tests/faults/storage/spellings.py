"""Addresses that must not be reached, in every spelling that some program reads as one."""

import ipaddress
import random
from collections.abc import Sequence
from typing import Final

_OTHERS: Final = (
    "0.0.0.0", "127.0.0.2", "127.255.255.254", "10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1",
    "100.100.100.200", "169.254.169.254", "168.63.129.16", "192.0.0.192", "198.18.0.1", "224.0.0.1",
    "255.255.255.255",
)  # fmt: skip
_OTHERS_V6: Final = (
    "::", "fd00:ec2::254", "fd20:ce::254", "fe80::1", "fc00::1", "ff02::1", "fec0::1", "2001:db8::1",
    "2001:0:7f00:1::1", "64:ff9b::7f00:1", "64:ff9b:1::7f00:1", "::ffff:0:7f00:1", "100::1", "5f00::1",
)  # fmt: skip
_NAMES: Final = (
    "localhost", "LOCALHOST", "localhost.", "LocalHost.localdomain", "localhost.localdomain",
    "ip6-localhost", "ip6-loopback", "localhost6", "x.localhost", "metadata.google.internal",
    "metadata", "instance-data", "kubernetes.default.svc", "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ", "ｌｏｃａｌｈｏｓｔ", "local\u00adhost",
)  # fmt: skip
_TAILS: Final = (
    "/", "/x.mp4", "", "?x", "/?url=https://example.com/", "/#@example.com/", "/%2e%2e/", "//x", "/x y",
    "/;a=b", "/é", "/x#?y",
)  # fmt: skip
_SCHEMES: Final = ("http", "http", "http", "https", "HTTP", "Https", "hTTp")


class Speller:
    """Spells the addresses of one machine; somebody listens at `ports`, and `origin` is one that is allowed."""

    def __init__(self, own: Sequence[str], ports: Sequence[int], origin: str) -> None:
        addresses = [ipaddress.ip_address(text) for text in own]
        self._own_v4 = [one for one in addresses if one.version == 4]
        self._own_v6 = [one for one in addresses if one.version == 6]
        self._ports = ports
        self._origin = origin

    def url(self, chance: random.Random) -> str:
        """A whole URL that leads, read in some way, where it must not."""
        host, port = self.host(chance), chance.choice(self._ports)
        written = _port(port, chance)
        scheme, tail = chance.choice(_SCHEMES), chance.choice(_TAILS)
        match chance.randrange(12):
            case 0:
                return self._disguised(host, written, chance)
            case 1:
                return self._malformed(scheme, host, written, tail, chance)
            case _:
                usual = port == {"http": 80, "https": 443}[scheme.lower()]
                return (
                    f"{scheme}://{host}{'' if usual and chance.random() < 0.5 else written}{tail}"
                )

    def host(self, chance: random.Random) -> str:
        """A host in the spelling of a URL."""
        match chance.randrange(10):
            case 0:
                return chance.choice(_NAMES)
            case 1:
                return f"[{_v6(ipaddress.IPv6Address(chance.choice(_OTHERS_V6)), chance)}]"
            case 2 if self._own_v6:
                return f"[{_v6(chance.choice(self._own_v6), chance)}]"
            case 3:
                return _v4(ipaddress.IPv4Address(chance.choice(_OTHERS)), chance)
            case 4:
                loopback = ipaddress.IPv4Address((127 << 24) + chance.getrandbits(24))
                return _v4(loopback, chance)
            case _:
                return _v4(chance.choice(self._own_v4), chance)

    def _disguised(self, host: str, port: str, chance: random.Random) -> str:
        """Looks as if it led to the origin that is allowed."""
        origin, bare = self._origin, self._origin.removeprefix("http://")
        return chance.choice(
            (
                f"{origin}@{host}{port}/", f"http://{bare}%40{host}{port}/", f"{origin}%00@{host}{port}/",
                f"{origin}#@{host}{port}/", f"{origin}\\@{host}{port}/", f"{origin} @{host}{port}/",
                f"{origin}&@{host}{port}/", f"http://{host}{port}#{bare}/", f"http://{host}{port}?{bare}/",
                f"http://{host}{port}\\@{bare}/", f"http://{host}{port};{bare}/", f"{origin}.{host}{port}/",
                f"{origin}\r\nHost: {host}{port}/", f"{origin}\t@{host}{port}/", f"http://{bare}:{host}{port}/",
                f"{origin[:-1]}/", f"http://{host}{port}/../../{bare}/",
            )
        )  # fmt: skip

    @staticmethod
    def _malformed(scheme: str, host: str, port: str, tail: str, chance: random.Random) -> str:
        return chance.choice(
            (
                f"{scheme}:{host}{port}{tail}", f"{scheme}:/{host}{port}{tail}", f"//{host}{port}{tail}",
                f"{scheme}:///{host}{port}{tail}", f"{scheme}:\\\\{host}{port}{tail}", f" {scheme}://{host}{port}",
                f"{scheme}://\t{host}{port}{tail}", f"ht\ttp://{host}{port}{tail}", f"{scheme}:////{host}{port}",
                f"{scheme}://{host}\n{port}{tail}", f"\u0000{scheme}://{host}{port}", f"{scheme}://@{host}{port}",
                f"{scheme}://:@{host}{port}{tail}", f"url:{scheme}://{host}{port}", f"file://{host}{tail}",
                f"gopher://{host}{port}/_GET", f"ftp://{host}{port}/", f"ws://{host}{port}/", f"jar:{scheme}://{host}!/",
                f"{scheme}://[{host}]{port}{tail}", f"{scheme}://{host}{port}\\{tail}", f"{scheme}://user:pass@{host}{port}",
                f"{scheme}://example.com@{host}{port}/", f"{scheme}://example.com:80@{host}{port}/",
            )
        )  # fmt: skip


def _port(port: int, chance: random.Random) -> str:
    return chance.choice(
        (
            f":{port}",
            f":{port}",
            f":{port}",
            f":0{port}",
            f":{port + 65536}",
            f":{port}.",
            f":+{port}",
        )
    )


def _v4(address: ipaddress.IPv4Address, chance: random.Random) -> str:
    number = int(address)
    a, b, c, d = address.packed
    dotted = str(address)
    low = f"{number >> 16:x}:{number & 0xFFFF:x}"
    return chance.choice(
        (
            dotted, dotted, dotted, f"{dotted}.", str(number), hex(number), f"0{number:o}", f"0x{number:X}",
            str(number + (1 << 32)), f"{a:#x}.{b:#x}.{c:#x}.{d:#x}", f"0{a:o}.0{b:o}.0{c:o}.0{d:o}",
            f"{a}.{(b << 16) + (c << 8) + d}", f"{a}.{b}.{(c << 8) + d}", f"{a:03}.{b:03}.{c:03}.{d:03}",
            f"0x{a:x}.{b}.0{c:o}.{d}", f"{a + 256}.{b}.{c}.{d}", f"00{dotted}", f"{dotted}.0", f".{dotted}",
            dotted.replace(".", "。"), dotted.replace(".", "．"), dotted.replace(".", "｡"), dotted.replace(".", "%2e"),
            dotted.replace("1", "①"), dotted.replace("2", "２"), dotted.replace("1", "𝟏"), dotted.replace("0", "٠"),
            "".join(f"%{ord(sign):x}" for sign in dotted), f"{dotted}%00", f"{dotted}%20", f"{dotted}\u200b",
            f"{dotted}\u00ad", f"{dotted}..", f"{a}..{c}.{d}", f"{dotted},", f"{dotted}_", f"{dotted}-",
            f"[::ffff:{dotted}]", f"[::ffff:{low}]", f"[::{dotted}]", f"[64:ff9b::{dotted}]", f"[64:ff9b:1::{dotted}]",
            f"[2002:{low}::1]", f"[2001:0:{low}::1]", f"[::ffff:0:{dotted}]", f"[::ffff:{dotted}%25lo]", f"[{dotted}]",
            f"[fe80::{dotted}%lo]", f"[0:0:0:0:0:ffff:{low}]", f"[::FFFF:{low.upper()}]", f"[2001:db8::{dotted}]",
        )
    )  # fmt: skip


def _v6(address: ipaddress.IPv6Address, chance: random.Random) -> str:
    return chance.choice(
        (
            str(address), str(address), address.exploded, str(address).upper(), f"{address}%lo", f"{address}%25lo",
            f"{address}%251", f"{address}/128", f" {address}", f"{address}.", f"0{address.exploded[1:]}",
        )
    )  # fmt: skip

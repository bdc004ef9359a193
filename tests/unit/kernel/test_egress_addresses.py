"""Every IP address is judged by where it leads."""

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.kernel.egress import Reach, classify, is_public


@pytest.mark.parametrize(
    "text",
    [
        "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "93.184.215.14", "100.63.255.255",
        "100.128.0.0", "126.255.255.255", "128.0.0.0", "169.253.255.255", "169.255.0.0",
        "172.15.255.255", "172.32.0.0", "192.167.255.255", "192.169.0.0", "198.17.255.255",
        "198.20.0.0", "223.255.255.255",
        "2001:200::1", "2001:4860:4860::8888", "2606:4700::1111", "2a00:1450:4001::200e",
        "64:ff9b::808:808",
    ],
)  # fmt: skip
def test_an_address_of_the_internet_is_public(text: str) -> None:
    assert classify(ipaddress.ip_address(text)) is Reach.PUBLIC


@pytest.mark.parametrize(
    "text",
    [
        "10.0.0.0", "10.255.255.255", "100.64.0.1", "100.127.255.255", "127.0.0.1",
        "127.255.255.254", "172.16.0.1", "172.31.255.255", "192.168.0.1", "198.18.0.1",
        "198.19.255.255",
        "::1", "fc00::1", "fd12:3456:789a::1",
    ],
)  # fmt: skip
def test_an_address_of_the_own_network_is_private(text: str) -> None:
    assert classify(ipaddress.ip_address(text)) is Reach.PRIVATE


@pytest.mark.parametrize(
    "text",
    [
        # this network, link-local and metadata
        "0.0.0.0", "0.1.2.3", "169.254.0.1", "169.254.169.254", "169.254.170.2",
        "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254",
        # documentation, relays, multicast, reserved, broadcast
        "192.0.2.1", "198.51.100.1", "203.0.113.1", "192.88.99.1", "224.0.0.1", "224.0.1.1",
        "239.255.255.255", "240.0.0.1", "255.255.255.255",
        "::", "fe80::1", "fe80::1%eth0", "febf::1", "fec0::1", "feff::1", "ff02::1", "ff0e::1",
        "2001:db8::1", "3fff::1", "100::1", "100:0:0:1::1", "5f00::1", "4000::1", "2001:2::1",
        "2001:10::1", "2001:20::1", "2001:1::1", "2001:4860:4860::8888%1", "::1%lo",
        # an IPv4 address inside, public or not
        "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:0:127.0.0.1", "::127.0.0.1", "::8.8.8.8",
        "64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1",
        "64:ff9b:1::808:808", "2002:7f00:1::", "2002:808:808::1", "2001::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    ],
)  # fmt: skip
def test_a_translated_special_or_metadata_address_is_forbidden(text: str) -> None:
    assert classify(ipaddress.ip_address(text)) is Reach.FORBIDDEN


# The oracle knows addresses as bits, typed from the IANA registries (globally reachable: false,
# and what translates to IPv4), and knows nothing of `ipaddress`.
_NOT_GLOBAL_V4 = [
    (0x00000000, 8), (0x0A000000, 8), (0x64400000, 10), (0x7F000000, 8), (0xA9FE0000, 16),
    (0xAC100000, 12), (0xC0000000, 24), (0xC0000200, 24), (0xC0586300, 24), (0xC0A80000, 16),
    (0xC6120000, 15), (0xC6336400, 24), (0xCB007100, 24), (0xE0000000, 4), (0xF0000000, 4),
    (0xA83F8110, 32),
]  # fmt: skip
_NOT_GLOBAL_V6 = [  # (first bits, how many), within 2000::/3
    (0x20010000 >> 9, 23), (0x20010DB8, 32), (0x2002, 16), (0x3FFF0, 20),
]  # fmt: skip


def _public_v4(number: int) -> bool:
    return all(number >> (32 - bits) != net >> (32 - bits) for net, bits in _NOT_GLOBAL_V4)


def _public_v6(number: int) -> bool:
    if number >> 32 == 0x0064FF9B << 64:
        return _public_v4(number & 0xFFFFFFFF)
    unicast = number >> 125 == 0b001
    return unicast and all(number >> (128 - bits) != net for net, bits in _NOT_GLOBAL_V6)


_edges_v4 = st.sampled_from(
    [edge for net, bits in _NOT_GLOBAL_V4 for edge in (net - 1, net, net + (1 << (32 - bits)))]
).map(lambda number: number % (1 << 32))
_numbers_v4 = st.integers(0, (1 << 32) - 1) | _edges_v4
_prefixes_v6 = st.sampled_from(
    [0x20010000 << 96, 0x20010DB8 << 96, 0x2002 << 112, 0x0064FF9B << 96, 0xFFFF << 32, 0,
     0x0064FF9B0001 << 80, 0xFE80 << 112, 0xFD00 << 112, 0x3FFF << 112, 0xFF02 << 112]
)  # fmt: skip
_numbers_v6 = (
    st.integers(0, (1 << 128) - 1)
    | st.integers(1 << 125, (1 << 126) - 1)
    | st.builds(lambda prefix, low: prefix | low, _prefixes_v6, _numbers_v4)
    | st.builds(lambda prefix, low: prefix + low, _prefixes_v6, st.integers(0, (1 << 112) - 1))
)


@settings(max_examples=1500, deadline=None)
@given(_numbers_v4)
def test_any_ipv4_address_is_judged_as_the_registry_has_it(number: int) -> None:
    assert is_public(ipaddress.IPv4Address(number)) == _public_v4(number)


@settings(max_examples=1500, deadline=None)
@given(_numbers_v6)
def test_any_ipv6_address_is_judged_as_the_registry_has_it(number: int) -> None:
    assert is_public(ipaddress.IPv6Address(number)) == _public_v6(number)

"""SSRF: 12,000 attempts, through every entrance that takes an address, hit a canary 0 times."""

import asyncio
import ipaddress
import itertools
import random
import sys
from collections.abc import AsyncIterator, Iterator, Sequence

import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError

from services.kernel.egress import (
    Egress,
    EgressRefused,
    Policy,
    Reach,
    addresses,
    botocore_settings,
    parse_origins,
    policy,
)
from tests.unit.kernel.egress_servers import Served, redirecting, saying, serving


@pytest.fixture
async def canary() -> AsyncIterator[Served]:
    async with serving(saying(b"secret")) as server:
        yield server
        assert server.connections == 0
        async with (
            Egress(Policy(private=parse_origins(server.url))) as egress,
            egress.request("GET", server.url) as got,
        ):
            assert await got.read() == b"secret", "it could have been hit"


def spellings(dice: random.Random) -> Iterator[str]:
    """Every way of writing 127.0.0.1, then of other loopback addresses, without end."""
    for nth in itertools.count():
        a, b, c, d = octets = (127, *((0, 0, 1) if nth == 0 else dice.randbytes(3)))
        number = int.from_bytes(bytes(octets))
        dotted = ".".join(map(str, octets))
        v6 = ipaddress.IPv6Address(number)
        low = f"{number >> 16:x}:{number & 0xFFFF:x}"
        yield from (
            dotted, f"{dotted}.", str(number), hex(number), f"0{number:o}", f"0x{number:X}",
            f"{a:#x}.{b:#x}.{c:#x}.{d:#x}", f"0{a:o}.0{b:o}.0{c:o}.0{d:o}",
            f"{a}.{(b << 16) + (c << 8) + d}", f"{a}.{b}.{(c << 8) + d}",
            f"{a:03}.{b:03}.{c:03}.{d:03}", f"0x{a:x}.{b}.0{c:o}.{d}",
            dotted.replace(".", "。"), dotted.replace(".", "%2e"), dotted.replace("1", "①"),
            "".join(f"%{ord(sign):x}" for sign in dotted), dotted.replace("2", "２"),
            f"user@{dotted}", f"user:pass@{dotted}", f"1.1.1.1@{dotted}", f"1.1.1.1\\@{dotted}",
            f"{dotted}\\.example.com", f"a.test#@{dotted}", f"{dotted}\t", f"\n{dotted}",
            f"[::ffff:{dotted}]", f"[::ffff:{low}]", f"[::{dotted}]", f"[{v6.exploded}]",
            f"[64:ff9b::{dotted}]", f"[64:ff9b:1::{dotted}]", f"[2002:{low}::1]", "[::1]",
            f"[::ffff:0:{dotted}]", f"[::ffff:{dotted}%25lo]", f"[::1%{nth}]", "[::]", "0.0.0.0",
            "0", "localhost", "LOCALHOST.", "localhost.localdomain", "ip6-localhost",
        )  # fmt: skip


async def loopback(host: str, port: int) -> Sequence[str]:
    """Resolve every name to this machine, as a hostile name server does."""
    return ["127.0.0.1"]


async def test_no_spelling_of_an_address_reaches_the_canary(canary: Served) -> None:
    dice = random.Random(1)
    async with Egress(Policy(ports=None), lookup=loopback) as egress:
        for host in itertools.islice(spellings(dice), 8000):
            with pytest.raises(EgressRefused):
                async with egress.request("GET", f"http://{host}:{canary.port}/"):
                    pass


async def test_no_redirect_of_an_allowed_server_reaches_the_canary(canary: Served) -> None:
    hosts = list(itertools.islice(spellings(random.Random(2)), 2500))
    written = ("http://{}:{}/", "//{}:{}/", "HTTP://{}:{}/", "/\\{}:{}/", "http:\\\\{}:{}/")
    printable = [host for host in hosts if host.isascii() and host.isprintable()]

    async def answer(head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nth = head.split(" ", 2)[1].removeprefix("/")
        if nth.isdigit():
            to = written[int(nth) % len(written)].format(printable[int(nth)], canary.port)
            await saying(b"", "302 Found", {"Location": to})(head, reader, writer)
        else:  # a relative redirect that leads back here
            await saying(b"here")(head, reader, writer)

    refused = 0
    async with serving(answer) as server:
        rules = Policy(private=parse_origins(server.url), ports=None)
        async with Egress(rules, lookup=loopback) as egress:
            for nth in range(len(printable)):
                url = f"{server.url}/{nth}"
                try:
                    async with egress.request("GET", url, follow_redirects=True) as got:
                        assert await got.read() == b"here"
                except EgressRefused as error:
                    refused += error.sent
    assert len(printable) > 2000
    assert refused > len(printable) // 2


@pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 stands in for a public address")
async def test_no_name_that_flips_between_answers_reaches_the_canary(
    canary: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name server answers each question anew: public, private, or both."""
    public, real = ipaddress.ip_address("127.0.0.2"), addresses.classify
    monkeypatch.setattr(
        policy, "classify", lambda address: Reach.PUBLIC if address == public else real(address)
    )
    dice = random.Random(3)
    answers = (["127.0.0.2"], ["127.0.0.1"], ["127.0.0.2", "127.0.0.1"], ["127.0.0.1", "::1"])

    async def flipping(host: str, port: int) -> Sequence[str]:
        return dice.choice(answers)

    reached, refused = 0, 0
    async with serving(saying(b"public"), host="127.0.0.2", port=canary.port) as server:
        async with Egress(Policy(ports=None), lookup=flipping) as egress:
            for nth in range(2000):
                # Some names meet a kept connection, most have to be resolved.
                url = f"http://flip{nth % 1500}.test:{canary.port}/"
                try:
                    async with egress.request("GET", url, follow_redirects=True) as got:
                        assert await got.read() == b"public"
                        reached += 1
                except EgressRefused:
                    refused += 1
        assert server.connections > 300
    assert reached > 300
    assert refused > 1000


@pytest.mark.parametrize("place", ["[::ffff:127.0.0.1]", "127.0.0.1", "evil.test", "2130706433"])
async def test_no_redirect_of_an_s3_server_reaches_the_canary(
    canary: Served, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", canary.url)
    monkeypatch.setenv("http_proxy", canary.url)
    there = f"http://{place}:{canary.port}/bucket/key"
    async with serving(redirecting(lambda path: there, "307 Temporary Redirect")) as server:
        rules = Policy(private=parse_origins(server.url), ports=None)
        settings = botocore_settings(rules, server.url, lookup=loopback)
        config = AioConfig(
            **settings,
            s3={"addressing_style": "path"},
            retries={"max_attempts": 0},
        )
        async with get_session().create_client(
            "s3", "eu", endpoint_url=server.url, config=config,
            aws_access_key_id="id", aws_secret_access_key="key",
        ) as client:  # fmt: skip
            with pytest.raises((BotoCoreError, ClientError)):
                await client.get_object(Bucket="bucket", Key="key")
        assert len(server.heads) == 1


async def test_an_s3_endpoint_is_reached_by_its_name_and_its_buckets_name() -> None:
    async def private(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"] if host in {"minio.lan", "media.minio.lan"} else ["10.0.0.1"]

    async with serving(saying(b"media")) as server:
        endpoint = f"http://minio.lan:{server.port}"
        rules = Policy(private=parse_origins(endpoint))
        for style in ("path", "virtual"):
            config = AioConfig(
                **botocore_settings(rules, endpoint, bucket="media", lookup=private),
                s3={"addressing_style": style},
            )
            async with get_session().create_client(
                "s3", "eu", endpoint_url=endpoint, config=config,
                aws_access_key_id="id", aws_secret_access_key="key",
            ) as client:  # fmt: skip
                got = await client.get_object(Bucket="media", Key="key")
                assert await got["Body"].read() == b"media"
        assert f"Host: media.minio.lan:{server.port}" in server.heads[1]


async def test_an_s3_endpoint_that_is_not_allowed_is_refused(canary: Served) -> None:
    for endpoint in (canary.url, f"http://2130706433:{canary.port}", "http://a.test:22", "x"):
        with pytest.raises(EgressRefused):
            botocore_settings(Policy(), endpoint)

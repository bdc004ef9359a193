"""SSRF: through every entrance that takes an address, in every spelling, a canary is reached 0 times."""

import asyncio
import random
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from ipaddress import ip_address
from typing import Final

import pytest

from services.kernel.egress import Egress, Policy, Reach, addresses, policy
from tests.conftest import S3Access
from tests.faults.campaign import PATIENT, Campaign, Trial
from tests.faults.report import Outcome
from tests.faults.storage.canary import Canary
from tests.faults.storage.conftest import MakeStorage
from tests.faults.storage.entrances import PUBLIC, Entrances
from tests.faults.storage.spellings import Speller
from tests.faults.storage.wire import Play, Request, Wire, answer, head

pytestmark = [
    PATIENT,
    pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 stands in for a public address"),
]

_ENTRANCES: Final = (
    *("ingest",) * 7, *("redirect",) * 5, *("flipping_name",) * 4, *("upstream",) * 3, "settings",
)  # fmt: skip

SSRF: Final = Campaign(
    "SSRF through every entrance",
    "A canary at every address and six ports of the machine is connected to 0 times.",
    trials=10_000,
    slice_trials=600,
    slice_seconds=7,
)


@asynccontextmanager
async def _public_servers(canary: Canary) -> AsyncIterator[None]:
    """Where the canary's names lead when they lead to the public: some of it redirects."""

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        _, _, to = asked.partition("?to=")
        moved = head("302 Found", "Content-Length: 0", "Connection: close", f"Location: {to}")
        writer.write(moved if to else answer(b"public"))
        await writer.drain()
        writer.close()

    async with AsyncExitStack() as stack:
        for port in canary.ports:
            await stack.enter_async_context(await asyncio.start_server(served, PUBLIC, port))
        yield


async def test_no_address_reaches_a_canary(
    make_storage: MakeStorage, s3: S3Access, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = addresses.classify
    public = ip_address(PUBLIC)
    monkeypatch.setattr(
        policy, "classify", lambda one: Reach.PUBLIC if one == public else real(one)
    )
    async with AsyncExitStack() as stack:
        canary = await stack.enter_async_context(Canary.singing())
        await stack.enter_async_context(_public_servers(canary))
        process = await asyncio.to_thread(
            make_storage, s3, REELGATE_EGRESS_PRIVATE_ORIGINS=wire.url
        )
        client = await stack.enter_async_context(process.client())
        speller = Speller(canary.addresses, canary.ports, wire.url)
        entrances = Entrances(client, wire, canary, speller)
        answering = random.Random(1)

        async def lookup(host: str, port: int) -> Sequence[str]:
            return entrances.answers(answering)

        entrances.flipping = await stack.enter_async_context(
            Egress(Policy(ports=None), lookup=lookup)
        )
        entrances.gateway = await stack.enter_async_context(Egress(Policy(), keepalive_seconds=0))
        wire.otherwise(_leading_inside(speller))

        async def attempt(trial: Trial) -> Outcome:
            entrance = _ENTRANCES[trial.number % len(_ENTRANCES)]
            outcome = await getattr(entrances, entrance)(trial.chance)
            assert canary.touched == [], f"{entrance}: {canary.touched}"
            return Outcome(f"{entrance}: {outcome}")

        async def silent() -> None:
            assert canary.touched == []

        await SSRF.run(attempt, at_once=6, afterwards=silent)
        assert "Traceback" not in process.log.read_text()
        # It would have sung.
        _, writer = await asyncio.open_connection(canary.addresses[0], canary.ports[-1])
        writer.close()
        await asyncio.sleep(0.1)
        assert len(canary.touched) == 1


def _leading_inside(speller: Speller) -> Play:
    """Whatever is asked for, the answer leads inside."""
    chance = random.Random(2)

    async def play(request: Request, writer: asyncio.StreamWriter) -> None:
        location = speller.url(chance).encode("utf-8", "surrogateescape")
        writer.write(
            b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nConnection: close\r\nLocation: %b\r\n\r\n"
            % location
        )
        await writer.drain()

    return play

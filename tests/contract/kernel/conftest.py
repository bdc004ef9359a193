"""Keys, tokens and a running service for the tests of the kernel's boundaries."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import pytest

from services.kernel import context
from services.kernel.tokens import Signer, Verifier, generate_signing_key, public_jwks
from tests.contract.kernel.peers import SHAPES, Call, Peer, calling, served

USER = "0199a0a0-0000-7000-8000-00000000000a"


@pytest.fixture(scope="session")
def signer() -> Signer:
    return Signer(_PEM)


@pytest.fixture(scope="session")
def verifier(tmp_path_factory: pytest.TempPathFactory) -> Verifier:
    file: Path = tmp_path_factory.mktemp("keys") / "jwks.json"
    file.write_text(json.dumps(public_jwks(_PEM)))
    return Verifier(file, "quota")


@pytest.fixture
def token(signer: Signer) -> str:
    return signer.sign(USER, audience=["quota"], lifetime_seconds=60)


@pytest.fixture(params=SHAPES.values(), ids=lambda call: call.__name__)
def call(request: pytest.FixtureRequest) -> Call:
    """One call of each shape."""
    made: Call = request.param
    return made


@pytest.fixture
async def peer(verifier: Verifier) -> AsyncIterator[Peer]:
    """A running service."""
    async with served(verifier) as running:
        yield running


@pytest.fixture
async def channel(peer: Peer) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to it."""
    async with calling(peer) as open_channel:
        yield open_channel


@pytest.fixture
def logged_in(token: str) -> Iterator[str]:
    """What this test calls carries a good token; gives it."""
    before = context.bearer_token.set(token)
    yield token
    context.bearer_token.reset(before)


_PEM = generate_signing_key()

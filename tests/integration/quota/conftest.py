"""Keys for tokens, and a running quota server."""

import json
from collections.abc import AsyncIterator

import pytest

from services.kernel.tokens import Signer, generate_signing_key, public_jwks
from tests.contract.quota.running import Callers, Keys, quota_server


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    pem = generate_signing_key()
    jwks_file = tmp_path_factory.mktemp("keys") / "jwks.json"
    jwks_file.write_text(json.dumps(public_jwks(pem)))
    return Keys(Signer(pem), jwks_file)


@pytest.fixture
async def callers(database: str, keys: Keys) -> AsyncIterator[Callers]:
    async with quota_server(database, keys) as callers:
        yield callers

"""A real gateway API (people, keys, models) on a real database, and those who call it."""

import base64
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from reelgate.gateway.v1 import (
    api_key_pb2,
    api_key_pb2_grpc,
    identity_pb2,
    identity_pb2_grpc,
    model_pb2,
    model_pb2_grpc,
)
from services.gateway import identity as identity_module
from services.gateway.catalogue import Catalogue
from services.gateway.identity import Identity
from services.gateway.prices import Price, Prices
from services.gateway.servers import api_keys, identity, later, models
from services.gateway.store.accounts import AccountStore
from services.gateway.store.people import PeopleStore
from services.kernel.errors import Unavailable
from services.kernel.grpc_server import make_server, serving
from services.kernel.ids import new_id
from services.kernel.postgres import Pool, open_pool
from services.kernel.sealing import KeyRing
from services.kernel.status import rpc_errors
from services.kernel.tokens import Signer, Verifier

MIGRATIONS = Path(identity_module.__file__).with_name("migrations")
PASSWORD = "correct horse battery"
_SERVICES = (
    (identity_pb2, identity_pb2_grpc.IdentityServiceStub),
    (api_key_pb2, api_key_pb2_grpc.ApiKeyServiceStub),
    (model_pb2, model_pb2_grpc.ModelServiceStub),
)


@dataclass(frozen=True)
class Keys:
    """The key that signs tokens and the file that lets servers check them."""

    signer: Signer
    jwks_file: Path


def key_ring() -> KeyRing:
    """Something to seal with."""
    return KeyRing("tests:" + base64.b64encode(secrets.token_bytes(32)).decode())


class Caller:
    """Somebody with a token or with none: `await caller.Login(email=…)`. Failures are raised as ReelgateError."""

    def __init__(self, channel: grpc.aio.Channel, token: str = "") -> None:
        self._channel = channel
        self._metadata = (("authorization", f"Bearer {token}"),) if token else ()

    def __getattr__(self, method: str) -> Any:
        module, stub = next(
            (module, stub(self._channel))
            for module, stub in _SERVICES
            if hasattr(module, f"{method}Request")
        )

        async def call(**fields: Any) -> Any:
            request = getattr(module, f"{method}Request")(**fields)
            with rpc_errors():
                return await getattr(stub, method)(request, metadata=self._metadata)

        return call


class PriceBoard:
    """Stands where quota keeps the prices; None while it is away."""

    def __init__(self) -> None:
        self.list: list[Price] | None = []

    async def prices(self) -> list[Price]:
        """Those that are set."""
        if self.list is None:
            raise Unavailable("away")
        return self.list


class Gateway:
    """One server, its database, and everybody who may call."""

    def __init__(
        self,
        address: str,
        channel: grpc.aio.Channel,
        pool: Pool,
        keys: Keys,
        prices: "PriceBoard",
    ) -> None:
        self.prices = prices
        self.address = address
        self.channel = channel
        self.pool = pool
        self.keys = keys
        self.accounts = AccountStore(pool, key_ring())
        self.stranger = Caller(channel)
        self.admin = self.bearer(self.token(role="admin"))

    def bearer(self, token: str) -> Caller:
        """Whoever holds this token."""
        return Caller(self.channel, token)

    def token(self, subject: str = "", **claims: Any) -> str:
        """A token that the gateway could have made."""
        values = {"audience": ["gateway"], "lifetime_seconds": 300, **claims}
        return self.keys.signer.sign(subject or str(new_id()), **values)

    async def person(self, email: str = "ada@example.com", **fields: Any) -> identity_pb2.User:
        """A new user, whose password is PASSWORD."""
        made = await self.admin.CreateUser(email=email, password=PASSWORD, **fields)
        user: identity_pb2.User = made.user
        return user

    async def login(
        self, email: str = "ada@example.com", password: str = PASSWORD
    ) -> identity_pb2.Tokens:
        """A session of his."""
        tokens: identity_pb2.Tokens = (
            await self.stranger.Login(email=email, password=password)
        ).tokens
        return tokens

    async def logged_in(self, email: str = "ada@example.com") -> Caller:
        """A new user with a session."""
        await self.person(email)
        return self.bearer((await self.login(email)).access_token)

    async def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """What only time or an accident would bring about."""
        async with self.pool.connection() as connection:
            cursor = await connection.execute(statement, values)
            return await cursor.fetchall() if cursor.description else []


@asynccontextmanager
async def gateway_api(
    database: str, keys: Keys, *, registration_enabled: bool = False
) -> AsyncIterator[Gateway]:
    """Serves on a free port for the length of the block."""
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(open_pool(database, min_size=1))
        who = Identity(PeopleStore(pool), keys.signer, registration_enabled=registration_enabled)
        prices = PriceBoard()
        public = (*identity.PUBLIC_METHODS, *models.PUBLIC_METHODS)
        server = make_server(Verifier(keys.jwks_file, "gateway"), public)
        names = [*identity.add_to(server, who), *api_keys.add_to(server, who)]
        names += later.add_to(server)
        names += models.add_to(
            server,
            Catalogue.default(),
            AccountStore(pool, key_ring()),
            Prices(prices),
            registration_enabled=registration_enabled,
        )
        port = await stack.enter_async_context(
            serving(server, "127.0.0.1:0", names, drain_seconds=1)
        )
        address = f"127.0.0.1:{port}"
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(address))
        yield Gateway(address, channel, pool, keys, prices)

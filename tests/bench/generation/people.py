"""The users of the benchmark: enough of them that nobody's limit of active generations binds."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from deploy.local.ready import Ready
from reelgate.gateway.v1 import generation_pb2, generation_pb2_grpc, identity_pb2, identity_pb2_grpc
from services.kernel.tokens import Signer

MODEL = "sora2-landscape-10s"
_TOKEN_SECONDS = 3600


def bearer(token: str) -> Any:
    """The metadata that carries a token."""
    return (("authorization", f"Bearer {token}"),)


@dataclass(frozen=True, slots=True)
class Person:
    """A user: asks for works and watches them."""

    stub: Any
    metadata: Any

    async def generate(self, prompt: str) -> None:
        """Asks for one work."""
        request = generation_pb2.CreateGenerationRequest(model=MODEL, prompt=prompt)
        await self.stub.CreateGeneration(request, metadata=self.metadata)

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Is told of every change, as an open page of the web UI is; everything up to now was told when this begins."""
        told = asyncio.Event()

        async def read() -> None:
            watch = generation_pb2.WatchGenerationsRequest()
            async for message in self.stub.WatchGenerations(watch, metadata=self.metadata):
                if message.WhichOneof("event") == "heartbeat":
                    told.set()

        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(read())
            await told.wait()
            yield
            reading.cancel()


async def make_people(
    channel: grpc.aio.Channel, ready: Ready, signer: Signer, count: int
) -> list[Person]:
    """New users, made by the demo's administrator. Their tokens are signed here: a log-in each would add nothing."""
    identity = identity_pb2_grpc.IdentityServiceStub(channel)
    login = identity_pb2.LoginRequest(email=ready.email, password=ready.password)
    administrator = bearer((await identity.Login(login)).tokens.access_token)
    stub = generation_pb2_grpc.GenerationServiceStub(channel)

    async def make(number: int) -> Person:
        request = identity_pb2.CreateUserRequest(
            email=f"bench-{number}@example.com", password="not a secret"
        )
        user = (await identity.CreateUser(request, metadata=administrator)).user
        token = signer.sign(
            user.id, audience=("gateway", "storage", "quota"), lifetime_seconds=_TOKEN_SECONDS
        )
        return Person(stub, bearer(token))

    return [await make(number) for number in range(count)]

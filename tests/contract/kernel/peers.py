"""A tiny service with one method of each shape, and a way to call each of them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc

from reelgate.gateway.v1 import completion_pb2, completion_pb2_grpc
from reelgate.quota.v1 import quota_pb2, quota_pb2_grpc
from reelgate.storage.v1 import storage_pb2, storage_pb2_grpc
from services.kernel import context
from services.kernel.context import Caller
from services.kernel.errors import Unauthenticated
from services.kernel.grpc_client import make_channel
from services.kernel.grpc_server import make_server, serving
from services.kernel.status import rpc_errors
from services.kernel.tokens import Verifier

Behaviour = Callable[[], Awaitable[None]]


async def nothing() -> None:
    """What a method does that has nothing to do."""


@dataclass
class Peer:
    """A service: `behave` is what each of its methods does between its first message and its last."""

    address: str = ""
    behave: Behaviour = nothing
    request_ids: list[str] = field(default_factory=list)
    callers: list[Caller | None] = field(default_factory=list)
    seconds_left: list[float] = field(default_factory=list)

    async def serve(self) -> None:
        self.request_ids.append(context.request_id.get())
        try:
            self.callers.append(context.caller())
        except Unauthenticated:
            self.callers.append(None)
        self.seconds_left.append(context.seconds_left(1_000))
        await self.behave()


class _Quota(quota_pb2_grpc.QuotaServiceServicer):
    """Only GetQuota is there; the other methods are as protoc made them."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    async def GetQuota(self, request: Any, context: Any) -> quota_pb2.GetQuotaResponse:  # noqa: N802
        await self._peer.serve()
        return quota_pb2.GetQuotaResponse()


class _Storage(storage_pb2_grpc.StorageServiceServicer):
    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    async def Download(  # noqa: N802
        self, request: Any, context: Any
    ) -> AsyncIterator[storage_pb2.DownloadResponse]:
        yield storage_pb2.DownloadResponse()
        await self._peer.serve()
        yield storage_pb2.DownloadResponse()

    async def Upload(self, requests: Any, context: Any) -> storage_pb2.UploadResponse:  # noqa: N802
        await anext(aiter(requests))
        await self._peer.serve()
        return storage_pb2.UploadResponse()


class _Completion(completion_pb2_grpc.CompletionServiceServicer):
    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    async def Forward(  # noqa: N802
        self, requests: Any, context: Any
    ) -> AsyncIterator[completion_pb2.ForwardResponse]:
        async for _ in requests:
            yield completion_pb2.ForwardResponse()
            break
        await self._peer.serve()


@asynccontextmanager
async def served(
    verifier: Verifier, public_methods: Iterable[str] = (), *, drain_seconds: float = 0
) -> AsyncIterator[Peer]:
    """A running service; nobody outlives the block by more than `drain_seconds`."""
    peer = Peer()
    server = make_server(verifier, public_methods)
    # mypy takes the generated servicers for abstract classes; they are not, and what they do is tested here.
    quota_pb2_grpc.add_QuotaServiceServicer_to_server(_Quota(peer), server)  # type: ignore[abstract]
    storage_pb2_grpc.add_StorageServiceServicer_to_server(_Storage(peer), server)  # type: ignore[abstract]
    completion_pb2_grpc.add_CompletionServiceServicer_to_server(_Completion(peer), server)
    names = ["reelgate.quota.v1.QuotaService"]
    async with serving(server, "127.0.0.1:0", names, drain_seconds=drain_seconds) as port:
        peer.address = f"127.0.0.1:{port}"
        yield peer


@asynccontextmanager
async def calling(peer: Peer) -> AsyncIterator[grpc.aio.Channel]:
    """A channel of the house to a service."""
    async with make_channel(peer.address) as channel:
        yield channel


async def unary_unary(channel: grpc.aio.Channel, **options: Any) -> None:
    """Calls the method that takes one message and answers one."""
    with rpc_errors():
        stub: Any = quota_pb2_grpc.QuotaServiceStub(channel)
        await stub.GetQuota(quota_pb2.GetQuotaRequest(), **options)


async def unary_stream(channel: grpc.aio.Channel, **options: Any) -> None:
    """Calls the method that takes one message and answers many."""
    with rpc_errors():
        stub: Any = storage_pb2_grpc.StorageServiceStub(channel)
        async for _ in stub.Download(storage_pb2.DownloadRequest(), **options):
            pass


async def stream_unary(channel: grpc.aio.Channel, **options: Any) -> None:
    """Calls the method that takes many messages and answers one."""
    with rpc_errors():
        stub: Any = storage_pb2_grpc.StorageServiceStub(channel)
        await stub.Upload(_one(storage_pb2.UploadRequest()), **options)


async def stream_stream(channel: grpc.aio.Channel, **options: Any) -> None:
    """Calls the method that takes many messages and answers many."""
    with rpc_errors():
        stub: Any = completion_pb2_grpc.CompletionServiceStub(channel)
        async for _ in stub.Forward(_one(completion_pb2.ForwardRequest()), **options):
            pass


async def _one(message: Any) -> AsyncIterator[Any]:
    yield message
    await asyncio.sleep(0)


Call = Callable[..., Awaitable[None]]
SHAPES: dict[str, Call] = {
    "/reelgate.quota.v1.QuotaService/GetQuota": unary_unary,
    "/reelgate.storage.v1.StorageService/Download": unary_stream,
    "/reelgate.storage.v1.StorageService/Upload": stream_unary,
    "/reelgate.gateway.v1.CompletionService/Forward": stream_stream,
}

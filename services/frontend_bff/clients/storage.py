"""The storage service: objects, links to them, their bytes, and which tiers there are."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc

from reelgate.storage.v1 import storage_pb2, storage_pb2_grpc
from services.frontend_bff.clients.downloads import Download, Span, byte_range
from services.frontend_bff.schemas.answers import StorageStatus
from services.kernel.errors import Internal, NotFound
from services.kernel.status import rpc_errors


@dataclass(frozen=True, slots=True)
class StoredObject:
    """Bytes that are kept; `sha256` in lower-case hexadecimal digits."""

    id: str
    size_bytes: int
    content_type: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Tiers:
    """Which tiers there are, and the origins that links point to."""

    status: StorageStatus
    link_origins: tuple[str, ...]


class StorageClient:
    """The caller's objects. Every method raises what storage raised."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: storage_pb2_grpc.StorageServiceAsyncStub = storage_pb2_grpc.StorageServiceStub(
            channel
        )

    async def find(self, object_id: str) -> StoredObject | None:
        """One object; None when storage has none of this name for the caller."""
        request = storage_pb2.GetObjectRequest(object_id=object_id)
        try:
            with rpc_errors():
                found = (await self._stub.GetObject(request)).object
        except NotFound:
            return None
        return StoredObject(found.id, found.size_bytes, found.content_type, found.sha256.hex())

    async def link(self, object_id: str, download_name: str) -> str | None:
        """A fresh absolute link; None when the bytes are to be read through `download`."""
        request = storage_pb2.ResolveUrlsRequest(
            object_ids=[object_id], download_name=download_name
        )
        with rpc_errors():
            answer = await self._stub.ResolveUrls(request)
        return next((one.url for one in answer.urls if one.url), None)

    async def thumbnail_link(self, object_id: str) -> str | None:
        """A link to its thumbnail; None when it is to be read through `download`. Raises NotFound without one."""
        request = storage_pb2.ResolveUrlsRequest(object_ids=[object_id])
        with rpc_errors():
            answer = await self._stub.ResolveUrls(request)
        if not any(one.has_thumbnail for one in answer.urls):
            raise NotFound("There is no such thumbnail.")
        return answer.urls[0].thumbnail_url or None

    @asynccontextmanager
    async def download(
        self, object_id: str, span: Span, *, thumbnail: bool = False
    ) -> AsyncIterator[Download]:
        """Bytes of an object, or of its thumbnail; `content_type` and `size_bytes` are the object's."""
        request = storage_pb2.DownloadRequest(
            object_id=object_id, range=byte_range(span), thumbnail=thumbnail
        )
        call = self._stub.Download(request)
        messages = aiter(call)
        try:
            with rpc_errors():
                first = await anext(messages, None)
            if first is None or first.WhichOneof("part") != "header":
                raise Internal("Storage sent no header.")
            header = first.header
            yield Download(
                header.object.content_type,
                header.object.size_bytes,
                header.offset,
                header.length,
                "",
                _chunks(messages),
            )
        finally:
            call.cancel()

    async def tiers(self) -> Tiers:
        """Which tiers there are and whether they answer."""
        with rpc_errors():
            answer = await self._stub.GetStatus(storage_pb2.GetStatusRequest())
        return Tiers(
            {
                "s3_enabled": answer.s3_enabled,
                "s3_healthy": answer.s3_healthy,
                "local_enabled": answer.local_enabled,
            },
            tuple(answer.link_origins),
        )


async def _chunks(messages: AsyncIterator[storage_pb2.DownloadResponse]) -> AsyncIterator[bytes]:
    with rpc_errors():
        async for message in messages:
            yield message.chunk

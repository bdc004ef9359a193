"""The servicers of the storage protos; all rules are the service's."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

import grpc

from reelgate.storage.v1 import settings_pb2_grpc, storage_pb2, storage_pb2_grpc
from services.kernel.errors import Aborted, InvalidArgument
from services.kernel.ids import parse_id
from services.storage.configuration.service import S3SettingsService
from services.storage.objects import (
    Progress,
    SourceLink,
    StoredObject,
)
from services.storage.reports import Reports
from services.storage.server.messages import (
    TIER_OF,
    links_message,
    object_message,
    run_of,
    slot_of,
)
from services.storage.server.reports import ReportsServicer
from services.storage.server.settings_servicer import StorageSettingsServicer
from services.storage.service import StorageService
from services.storage.sources.base64_text import decoded

SERVICES: Final = (
    "reelgate.storage.v1.StorageService",
    "reelgate.storage.v1.StorageSettingsService",
)
_Context = grpc.aio.ServicerContext[Any, Any]

_Message = TypeVar("_Message", storage_pb2.IngestResponse, storage_pb2.MoveResponse)
_PROGRESS_SECONDS: Final = 0.25
# Without news a message goes out now and then, so that the caller knows that we live.
_HEARTBEAT_SECONDS: Final = 5.0
_CHUNK_BYTES: Final = 256 * 1024
_LONGEST_URL: Final = 16_384
_MOST_HEADERS: Final = 32
_DEFAULT_PAGE: Final = 100
_LARGEST_PAGE: Final = 1000


class StorageServicer(ReportsServicer, storage_pb2_grpc.StorageServiceServicer):
    """Translates; all rules are the service's."""

    def __init__(self, service: StorageService, reports: Reports) -> None:
        self._service = service
        self.reports = reports

    async def Ingest(
        self, request: storage_pb2.IngestRequest, context: _Context
    ) -> AsyncIterator[storage_pb2.IngestResponse]:
        """Runs it beside the messages about its progress."""
        slot = slot_of(request)
        if not request.source.url or len(request.source.url) > _LONGEST_URL:
            raise InvalidArgument("The source needs a URL.", field="source.url")
        if len(request.source.headers) > _MOST_HEADERS:
            raise InvalidArgument("The source has too many headers.", field="source.headers")
        if request.max_size_bytes < 0:
            raise InvalidArgument("The limit can not be negative.", field="max_size_bytes")
        link = SourceLink(
            request.source.url, dict(request.source.headers), request.source.trusted_origin
        )
        progress = Progress()
        work = self._service.ingest(slot, link, request.max_size_bytes, progress)
        async for message in _reported(work, progress, storage_pb2.IngestResponse):
            yield message

    async def Upload(
        self, request_iterator: AsyncIterator[storage_pb2.UploadRequest], context: _Context
    ) -> storage_pb2.UploadResponse:
        """Reads the header, then lets the chunks flow."""
        requests = aiter(request_iterator)
        first = await anext(requests, None)
        if first is None or first.WhichOneof("part") != "header":
            raise InvalidArgument("An upload begins with a header.", field="header")
        header = first.header
        if header.size_bytes < 0:
            raise InvalidArgument("The size can not be negative.", field="header.size_bytes")
        slot = slot_of(header)
        chunks = _Chunks(requests)
        is_base64 = header.chunk_encoding == storage_pb2.CHUNK_ENCODING_BASE64
        sent = decoded(chunks.read()) if is_base64 else chunks.read()
        source = self._service.stream_source(sent, header.size_bytes)
        chunks.source = source
        try:
            kept = await self._service.upload(slot, source)
        finally:
            await source.close()
        return storage_pb2.UploadResponse(object=object_message(kept))

    async def Download(
        self, request: storage_pb2.DownloadRequest, context: _Context
    ) -> AsyncIterator[storage_pb2.DownloadResponse]:
        """A header, then the bytes."""
        object_id = parse_id(request.object_id, "object_id")
        wanted = request.range
        async with self._service.download(
            object_id, wanted.offset, wanted.length, thumbnail=request.thumbnail
        ) as reading:
            header = storage_pb2.DownloadHeader(
                object=object_message(reading.object), offset=reading.offset, length=reading.length
            )
            yield storage_pb2.DownloadResponse(header=header)
            async for chunk in reading.chunks:
                yield storage_pb2.DownloadResponse(chunk=chunk)

    async def GetObject(
        self, request: storage_pb2.GetObjectRequest, context: _Context
    ) -> storage_pb2.GetObjectResponse:
        """One object."""
        found = await self._service.get(parse_id(request.object_id, "object_id"))
        return storage_pb2.GetObjectResponse(object=object_message(found))

    async def ListObjects(
        self, request: storage_pb2.ListObjectsRequest, context: _Context
    ) -> storage_pb2.ListObjectsResponse:
        """The token of a page is the id of its last object."""
        if not 0 <= request.page_size <= _LARGEST_PAGE:
            raise InvalidArgument(f"A page has 1 to {_LARGEST_PAGE} objects.", field="page_size")
        count = request.page_size or _DEFAULT_PAGE
        found = await self._service.page(
            parse_id(request.owner_id, "owner_id") if request.owner_id else None,
            TIER_OF.get(request.tier),
            parse_id(request.page_token, "page_token") if request.page_token else None,
            count + 1,
        )
        return storage_pb2.ListObjectsResponse(
            objects=[object_message(one) for one in found[:count]],
            next_page_token=str(found[count - 1].id) if len(found) > count else "",
        )

    async def GetUsage(
        self, request: storage_pb2.GetUsageRequest, context: _Context
    ) -> storage_pb2.GetUsageResponse:
        """Counted from the objects."""
        usage = await self._service.usage(parse_id(request.owner_id, "owner_id"))
        return storage_pb2.GetUsageResponse(
            size_bytes=usage.size_bytes, object_count=usage.object_count
        )

    async def ResolveUrls(
        self, request: storage_pb2.ResolveUrlsRequest, context: _Context
    ) -> storage_pb2.ResolveUrlsResponse:
        """Links, made now."""
        ids = [parse_id(text, "object_ids") for text in request.object_ids]
        response = storage_pb2.ResolveUrlsResponse()
        for links in await self._service.links(ids, request.download_name):
            response.urls.append(links_message(links))
        return response

    async def Tombstone(
        self, request: storage_pb2.TombstoneRequest, context: _Context
    ) -> storage_pb2.TombstoneResponse:
        """Forbids and deletes."""
        owner_id = parse_id(request.owner_id, "owner_id")
        count = await self._service.tombstone(run_of(request.run), owner_id)
        return storage_pb2.TombstoneResponse(deleted_count=count)

    async def DeleteObjects(
        self, request: storage_pb2.DeleteObjectsRequest, context: _Context
    ) -> storage_pb2.DeleteObjectsResponse:
        """Deletes by id."""
        ids = [parse_id(text, "object_ids") for text in request.object_ids]
        return storage_pb2.DeleteObjectsResponse(deleted_count=await self._service.delete(ids))

    async def GetStatus(
        self, request: storage_pb2.GetStatusRequest, context: _Context
    ) -> storage_pb2.GetStatusResponse:
        """As it was last seen."""
        status = self._service.status()
        return storage_pb2.GetStatusResponse(
            s3_enabled=status.s3_enabled,
            s3_healthy=status.s3_healthy,
            local_enabled=status.local_enabled,
            link_origins=status.link_origins,
        )

    async def PresignUpload(
        self, request: storage_pb2.PresignUploadRequest, context: _Context
    ) -> storage_pb2.PresignUploadResponse:
        """A link, and what to send with it."""
        owner_id = parse_id(request.owner_id, "owner_id")
        link = await self._service.presign(owner_id, request.size_bytes, request.content_type)
        response = storage_pb2.PresignUploadResponse(
            object_id=str(link.object_id), url=link.url, method=link.method, headers=link.headers
        )
        response.expire_time.FromDatetime(link.expires_at)
        return response

    async def CommitPresignedUpload(
        self, request: storage_pb2.CommitPresignedUploadRequest, context: _Context
    ) -> storage_pb2.CommitPresignedUploadResponse:
        """What became of it."""
        kept = await self._service.commit_presigned(parse_id(request.object_id, "object_id"))
        return storage_pb2.CommitPresignedUploadResponse(object=object_message(kept))

    async def Move(
        self, request: storage_pb2.MoveRequest, context: _Context
    ) -> AsyncIterator[storage_pb2.MoveResponse]:
        """Runs it beside the messages about its progress."""
        tier = TIER_OF.get(request.tier)
        if tier is None:
            raise InvalidArgument("Say which tier it is to go to.", field="tier")
        progress = Progress()
        work = self._service.move(parse_id(request.object_id, "object_id"), tier, progress)
        async for message in _reported(work, progress, storage_pb2.MoveResponse):
            yield message


def add_servicers(
    server: grpc.aio.Server, service: StorageService, settings: S3SettingsService, reports: Reports
) -> None:
    """Puts the services behind a gRPC server."""
    servicer = StorageServicer(service, reports)
    storage_pb2_grpc.add_StorageServiceServicer_to_server(servicer, server)
    settings_pb2_grpc.add_StorageSettingsServiceServicer_to_server(
        StorageSettingsServicer(settings), server
    )


class _Chunks:
    """The chunks of an upload's requests, up to its commit."""

    def __init__(self, requests: AsyncIterator[storage_pb2.UploadRequest]) -> None:
        self._requests = requests
        self.source: Any = None

    async def read(self) -> AsyncIterator[bytes]:
        async for request in self._requests:
            part = request.WhichOneof("part")
            if part == "commit":
                self.source.commit = (request.commit.size_bytes, request.commit.sha256)
                return
            if part != "chunk":
                raise InvalidArgument("Behind the header come chunks and one commit.", field="part")
            if request.chunk:
                yield request.chunk
        raise Aborted("The upload broke off before its commit.", reason="SOURCE_FAILED")


async def _reported(
    work: Awaitable[StoredObject], progress: Progress, message: Callable[..., _Message]
) -> AsyncIterator[_Message]:
    """Runs the work beside messages about it; ends it when nobody reads them any more."""
    task = asyncio.ensure_future(work)
    said, silent = (0, 0), 0.0
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=_PROGRESS_SECONDS)
            now = (progress.done, progress.total)
            silent += _PROGRESS_SECONDS
            if not task.done() and (now != said or silent >= _HEARTBEAT_SECONDS):
                said, silent = now, 0.0
                yield message(done_bytes=now[0], total_bytes=now[1])
        kept = await task
        yield message(
            done_bytes=kept.size_bytes, total_bytes=kept.size_bytes, object=object_message(kept)
        )
    finally:
        if not task.done():
            task.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.wait({task})

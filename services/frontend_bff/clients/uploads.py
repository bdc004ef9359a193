"""The storage service's uploads: reference images that a user sends."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from typing import Final

import grpc

from reelgate.common.v1 import media_pb2
from reelgate.storage.v1 import storage_pb2, storage_pb2_grpc
from services.frontend_bff.clients.records import MEDIA_PATH
from services.frontend_bff.schemas.answers import PresignedUpload, UploadedImage
from services.kernel.errors import Aborted, InvalidArgument
from services.kernel.status import rpc_errors

# A phone on a slow line needs minutes for ten megabytes.
_UPLOAD_SECONDS: Final = 900.0
# Storage reads all of what was sent, to see what it is.
_COMMIT_SECONDS: Final = 60.0


class UploadsClient:
    """Images of the caller. Every method raises what storage raised; of bad bytes InvalidArgument."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: storage_pb2_grpc.StorageServiceAsyncStub = storage_pb2_grpc.StorageServiceStub(
            channel
        )

    async def send(
        self, owner_id: str, size_bytes: int, chunks: AsyncIterator[bytes]
    ) -> UploadedImage:
        """Keeps an image as its bytes arrive; `size_bytes` 0 means that nobody knows yet how many."""
        header = storage_pb2.UploadHeader(
            owner_id=owner_id, media_type=media_pb2.MEDIA_TYPE_IMAGE, size_bytes=size_bytes
        )
        call = self._stub.Upload(timeout=_UPLOAD_SECONDS)
        try:
            with _bad_bytes(), rpc_errors():
                # Storage may not want the rest: then its answer says why.
                with suppress(asyncio.InvalidStateError):
                    await _write(call, header, chunks)
                kept = (await call).object
        finally:
            call.cancel()
        return await self._uploaded(kept)

    async def presign(self, owner_id: str, size_bytes: int, content_type: str) -> PresignedUpload:
        """A link to upload with."""
        request = storage_pb2.PresignUploadRequest(
            owner_id=owner_id, size_bytes=size_bytes, content_type=content_type
        )
        with rpc_errors():
            made = await self._stub.PresignUpload(request)
        return {
            "object_id": made.object_id,
            "url": made.url,
            "method": made.method,
            "headers": dict(made.headers),
            "expires_at": made.expire_time.ToJsonString(),
        }

    async def commit(self, object_id: str) -> UploadedImage:
        """Makes an object of what was sent with a link."""
        request = storage_pb2.CommitPresignedUploadRequest(object_id=object_id)
        with _bad_bytes(), rpc_errors():
            answer = await self._stub.CommitPresignedUpload(request, timeout=_COMMIT_SECONDS)
        return await self._uploaded(answer.object)

    async def _uploaded(self, kept: storage_pb2.StoredObject) -> UploadedImage:
        request = storage_pb2.ResolveUrlsRequest(object_ids=[kept.id])
        with rpc_errors():
            links = await self._stub.ResolveUrls(request)
        link = next((one.url for one in links.urls if one.url), "")
        return {
            "object_id": kept.id,
            "url": link or MEDIA_PATH + kept.id,
            "size_bytes": kept.size_bytes,
            "content_type": kept.content_type,
        }


async def _write(
    call: "grpc.aio.StreamUnaryCall[storage_pb2.UploadRequest, storage_pb2.UploadResponse]",
    header: storage_pb2.UploadHeader,
    chunks: AsyncIterator[bytes],
) -> None:
    """Sends everything. Raises InvalidStateError when storage has ended the call."""
    digest = hashlib.sha256()
    sent = 0
    await call.write(storage_pb2.UploadRequest(header=header))
    async for chunk in chunks:
        digest.update(chunk)
        sent += len(chunk)
        await call.write(storage_pb2.UploadRequest(chunk=chunk))
    commit = storage_pb2.UploadCommit(size_bytes=sent, sha256=digest.digest())
    await call.write(storage_pb2.UploadRequest(commit=commit))
    await call.done_writing()


@contextmanager
def _bad_bytes() -> Iterator[None]:
    """What storage says of a broken source is here the caller's own."""
    try:
        yield
    except Aborted as error:
        raise InvalidArgument(error.message, reason="BAD_FILE", field="file") from None

"""Reference images: sent through us, or straight to the bucket (E4, E7)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Final, TypeVar

from aiohttp import BodyPartReader, hdrs, web

from services.frontend_bff.routing import Call, Routes
from services.frontend_bff.schemas.answers import PresignedUpload, UploadedImage
from services.frontend_bff.schemas.requests import ObjectPath, PresignRequest
from services.frontend_bff.schemas.values import MAX_IMAGE_BYTES
from services.kernel.errors import InvalidArgument, ResourceExhausted

_T = TypeVar("_T")
routes = Routes("uploads")
_UPLOADS = "/api/v1/sora/uploads"

# How long a sender may be silent.
_IDLE_SECONDS: Final = 30.0
_CHUNK_BYTES: Final = 256 * 1024
_HEAD_BYTES: Final = 12


@routes.post(
    _UPLOADS,
    status=201,
    consumes=("multipart/form-data", "image/jpeg", "image/png", "image/webp"),
    also=(400, 403, 408, 413, 503),
)
async def upload_image(call: Call) -> UploadedImage:
    """Upload a reference image.

    JPEG, PNG or WebP, whatever the request says it is; at most 10 MiB; as the body itself, or as the first part of
    a form.
    """
    request = call.request
    owner = await call.clients.identity.me()
    if _is_form(request):
        chunks, size_bytes = _of_form(request), 0
    else:
        chunks, size_bytes = _of_body(request), _promised(request)
    if size_bytes > MAX_IMAGE_BYTES:
        raise _too_large()
    return await call.clients.uploads.send(owner["id"], size_bytes, _checked(chunks))


@routes.post(_UPLOADS + "/presign", also=(400, 403, 413, 503))
async def presign_upload(call: Call, body: PresignRequest) -> PresignedUpload:
    """Get a link to upload a reference image with, straight into the bucket.

    It takes exactly this length and type, within an hour. Commit it afterwards.
    """
    owner = await call.clients.identity.me()
    return await call.clients.uploads.presign(owner["id"], body.size_bytes, body.content_type)


@routes.post(_UPLOADS + "/{object_id}/commit", also=(400, 403, 404, 409, 503))
async def commit_upload(call: Call, path: ObjectPath) -> UploadedImage:
    """Say that the bytes were sent with the link.

    `409 not_uploaded`: they are not there.
    """
    return await call.clients.uploads.commit(path.object_id)


def _is_form(request: web.Request) -> bool:
    return request.content_type == "multipart/form-data"


def _promised(request: web.Request) -> int:
    """How many bytes there will be; 0 when that is not known, as of compressed ones."""
    if hdrs.CONTENT_ENCODING in request.headers:
        return 0
    return request.content_length or 0


async def _of_body(request: web.Request) -> AsyncIterator[bytes]:
    while chunk := await _in_time(request.content.read(_CHUNK_BYTES)):
        yield chunk


async def _of_form(request: web.Request) -> AsyncIterator[bytes]:
    try:
        form = await request.multipart()
        part = await _in_time(form.next())
        if not isinstance(part, BodyPartReader) or part.filename is None:
            raise _not_a_file("The first part of the form should be the file.")
        while chunk := await _in_time(part.read_chunk(_CHUNK_BYTES)):
            yield chunk
        # It is whole only if there is something behind it: another part, or the end of the form.
        await _in_time(form.next())
    except (ValueError, AssertionError):
        raise _not_a_file("The form can not be read.") from None


async def _in_time(reading: Awaitable[_T]) -> _T:
    try:
        async with asyncio.timeout(_IDLE_SECONDS):
            return await reading
    except TimeoutError:
        raise web.HTTPRequestTimeout from None


async def _checked(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes. Raises before the first of them if it is no image, and as soon as there are too many."""
    head = b""
    size = 0
    is_known = False
    async for chunk in chunks:
        size += len(chunk)
        if size > MAX_IMAGE_BYTES:
            raise _too_large()
        if is_known:
            yield chunk
            continue
        head += chunk
        if len(head) >= _HEAD_BYTES:
            _require_image(head)
            is_known = True
            yield head
    if not is_known:
        raise _not_a_file("This is not a JPEG, PNG or WebP image.")


def _require_image(head: bytes) -> None:
    is_webp = head.startswith(b"RIFF") and head[8:12] == b"WEBP"
    if not is_webp and not head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")):
        raise _not_a_file("This is not a JPEG, PNG or WebP image.")


def _not_a_file(message: str) -> InvalidArgument:
    return InvalidArgument(message, reason="BAD_FILE", field="file")


def _too_large() -> ResourceExhausted:
    return ResourceExhausted("An image has at most 10 MiB.", reason="OBJECT_TOO_LARGE")

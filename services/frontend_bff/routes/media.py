"""The bytes of works: a fresh link where there is one, else the bytes themselves (D5, D6, E8)."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Final

import structlog
from aiohttp import hdrs, web

from services.frontend_bff import ranges
from services.frontend_bff.clients.downloads import WHOLE, Download, Span
from services.frontend_bff.clients.storage import StoredObject
from services.frontend_bff.routing import Call, Routes
from services.frontend_bff.schemas.requests import MediaQuery, ObjectPath
from services.kernel.errors import Aborted, DeadlineExceeded, ReelgateError

log = structlog.get_logger()
routes = Routes("generations")

# How long a source may be silent. A reader may pause as long as he likes.
_IDLE_SECONDS: Final = 60.0
# Types that no browser runs scripts of, with the ending of a file's name. Others are never shown.
_ENDINGS: Final = {
    "video/mp4": "mp4",
    "video/webm": "webm",
    "video/quicktime": "mov",
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/webp": "webp",
    "image/gif": "gif",
    "audio/mpeg": "mp3",
    "audio/wav": "wav",
}
# Replaces the policy of pages: an opened medium shows itself and nothing else.
_POLICY: Final = (
    "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@routes.get(
    "/api/v1/sora/media/{object_id}",
    produces="*/*",
    also=(206, 302, 304, 400, 404, 410, 416, 501, 502, 503, 504),
)
async def media(call: Call, path: ObjectPath, query: MediaQuery) -> web.StreamResponse:
    """Get the bytes of a medium.

    Either a redirection to a fresh link, or the bytes, with `Range`, `If-Range` and `If-None-Match`. A thumbnail comes
    whole, and without asking again for an hour.
    """
    if query.thumbnail == "1":
        return await _thumbnail(call, path.object_id)
    saved = query.download == "1"
    found = await call.clients.storage.find(path.object_id)
    if found is None:
        return await _from_upstream(call, path.object_id, saved=saved)
    name = _file_name(path.object_id, found.content_type) if saved else ""
    link = await call.clients.storage.link(path.object_id, name)
    return await _from_storage(call, found, saved=saved) if link is None else _elsewhere(link)


def _elsewhere(link: str) -> web.Response:
    headers = {hdrs.LOCATION: link, hdrs.CACHE_CONTROL: "private, no-store"}
    return web.Response(status=302, headers=headers)


async def _thumbnail(call: Call, object_id: str) -> web.StreamResponse:
    link = await call.clients.storage.thumbnail_link(object_id)
    if link is not None:
        return _elsewhere(link)
    etag = f'"{object_id}-thumbnail"'
    headers = _headers(object_id, "image/webp", saved=False)
    headers |= {hdrs.ETAG: etag, hdrs.CACHE_CONTROL: "private, max-age=3600"}
    if ranges.is_known(call.request, etag):
        return web.Response(status=304, headers=headers)

    def answer(download: Download) -> web.StreamResponse:
        response = web.StreamResponse(headers=headers)
        response.content_length = download.length
        return response

    source = call.clients.storage.download(object_id, WHOLE, thumbnail=True)
    return await _copy(call.request, source, answer)


async def _from_storage(call: Call, found: StoredObject, *, saved: bool) -> web.StreamResponse:
    request = call.request
    etag = f'"{found.sha256}"'
    headers = _headers(found.id, found.content_type, saved=saved)
    # The bytes never change, but who may see them does: keep, and ask each time.
    headers |= {hdrs.ETAG: etag, hdrs.CACHE_CONTROL: "private, no-cache"}
    if ranges.is_known(request, etag):
        return web.Response(status=304, headers=headers)
    span = ranges.requested(request, etag)
    part = ranges.resolve(span, found.size_bytes) if span else None
    length = part.length if part else found.size_bytes
    if part:
        headers[hdrs.CONTENT_RANGE] = part.content_range(found.size_bytes)
    response = _response(206 if part else 200, headers, length)
    if request.method == hdrs.METH_HEAD or length == 0:
        return response
    wanted = Span(part.offset, part.length) if part else WHOLE
    source = call.clients.storage.download(found.id, wanted)
    return await _copy(request, source, lambda _: response)


async def _from_upstream(call: Call, object_id: str, *, saved: bool) -> web.StreamResponse:
    span = ranges.requested(call.request, None)

    def answer(download: Download) -> web.StreamResponse:
        headers = _headers(object_id, download.content_type, saved=saved)
        headers[hdrs.CACHE_CONTROL] = "private, no-store"
        size = download.size_bytes if download.size_bytes >= 0 else None
        if span is None or (download.offset == 0 and span.offset != 0):
            # Nobody asked for a part, or the upstream does not give any.
            return _response(200, headers, download.length if download.length >= 0 else size)
        if download.length < 0:
            if download.offset:
                raise Aborted("The source does not say what it sends.", reason="SOURCE_FAILED")
            return _response(200, headers, size)
        part = ranges.Slice(download.offset, download.length)
        headers[hdrs.CONTENT_RANGE] = part.content_range(size)
        return _response(206, headers, download.length)

    source = call.clients.generations.download(object_id, span or WHOLE)
    return await _copy(call.request, source, answer)


async def _copy(
    request: web.Request,
    source: AbstractAsyncContextManager[Download],
    answer: Callable[[Download], web.StreamResponse],
) -> web.StreamResponse:
    """Copies a download into the answer that `answer` makes of it, a chunk at a time."""
    response: web.StreamResponse | None = None
    sent = 0
    clock = asyncio.get_running_loop().time
    try:
        async with asyncio.timeout(_IDLE_SECONDS) as idle, source as download:
            response = answer(download)
            if request.method == hdrs.METH_HEAD:
                return response
            await response.prepare(request)
            async for chunk in download.chunks:
                idle.reschedule(None)
                await response.write(chunk)
                sent += len(chunk)
                idle.reschedule(clock() + _IDLE_SECONDS)
    except (ReelgateError, TimeoutError) as error:
        if response is None or not response.prepared:
            if isinstance(error, TimeoutError):
                raise DeadlineExceeded("The source took too long to answer.") from None
            raise
        _cut(request, str(error))
    if response.content_length not in (None, sent):
        _cut(request, "short")
    return response


def _cut(request: web.Request, why: str) -> None:
    """The status is sent already: only a broken connection still tells the reader that bytes are missing."""
    log.warning("media_broke_off", reason=why)
    if request.transport is not None:
        request.transport.abort()


def _headers(object_id: str, content_type: str, *, saved: bool) -> dict[str, str]:
    shown = content_type in _ENDINGS
    disposition = "inline" if shown and not saved else "attachment"
    return {
        hdrs.CONTENT_TYPE: content_type if shown else "application/octet-stream",
        hdrs.CONTENT_DISPOSITION: f'{disposition}; filename="{_file_name(object_id, content_type)}"',
        "Content-Security-Policy": _POLICY,
    }


def _file_name(object_id: str, content_type: str) -> str:
    return f"reelgate-{object_id}.{_ENDINGS.get(content_type, 'bin')}"


def _response(status: int, headers: dict[str, str], length: int | None) -> web.StreamResponse:
    response = web.StreamResponse(status=status, headers=headers)
    response.content_length = length
    response.headers[hdrs.ACCEPT_RANGES] = "bytes"
    return response

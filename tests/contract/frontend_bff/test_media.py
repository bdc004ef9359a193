"""The media route: links, bytes, ranges (D5, D6, E8)."""

import asyncio
import hashlib
from typing import Any

import aiohttp
import pytest

from reelgate.storage.v1 import storage_pb2
from services.kernel.errors import OutOfRange, Unavailable
from tests.contract.frontend_bff import messages
from tests.contract.frontend_bff.conftest import Bff, token, until
from tests.contract.frontend_bff.fakes import Backend
from tests.contract.frontend_bff.messages import OBJECT

_PATH = f"/api/v1/sora/media/{OBJECT}"
_DATA = bytes(range(256)) * 4
_SHA256 = hashlib.sha256(_DATA).digest()
_ETAG = f'"{_SHA256.hex()}"'


def _part(request: Any) -> tuple[int, bytes]:
    offset, length = request.range.offset, request.range.length
    offset = max(0, len(_DATA) + offset) if offset < 0 else offset
    if offset >= len(_DATA):
        raise OutOfRange("Behind the end.")
    return offset, _DATA[offset : offset + length if length else None]


def _stored(request: storage_pb2.DownloadRequest) -> list[storage_pb2.DownloadResponse]:
    offset, data = _part(request)
    header = storage_pb2.DownloadHeader(
        object=messages.stored(_DATA, _SHA256), offset=offset, length=len(data)
    )
    chunks = [data[at : at + 100] for at in range(0, len(data), 100)]
    return [
        storage_pb2.DownloadResponse(header=header),
        *(storage_pb2.DownloadResponse(chunk=chunk) for chunk in chunks),
    ]


@pytest.fixture
def local(backend: Backend) -> None:
    """Storage has the object on its disk."""
    backend.answers |= {
        "GetObject": storage_pb2.GetObjectResponse(object=messages.stored(_DATA, _SHA256)),
        "ResolveUrls": storage_pb2.ResolveUrlsResponse(
            urls=[storage_pb2.ObjectUrl(object_id=OBJECT)]
        ),
        "Download": _stored,
    }


async def _get(bff: Bff, path: str = _PATH, **headers: str) -> aiohttp.ClientResponse:
    sent = {"Authorization": f"Bearer {token()}"} | headers
    return await bff.call("GET", path, headers=sent)


async def test_an_object_with_a_link_is_a_redirection(bff: Bff, backend: Backend) -> None:
    backend.answers |= {
        "GetObject": storage_pb2.GetObjectResponse(object=messages.stored(_DATA, _SHA256)),
        "ResolveUrls": storage_pb2.ResolveUrlsResponse(
            urls=[storage_pb2.ObjectUrl(object_id=OBJECT, url="https://s3.example/x?sig=1")]
        ),
    }
    shown = await _get(bff)
    saved = await _get(bff, _PATH + "?download=1")

    for answer in (shown, saved):
        assert answer.status == 302
        assert answer.headers["Location"] == "https://s3.example/x?sig=1"
        assert answer.headers["Cache-Control"] == "private, no-store"
    first, second = backend.asked("ResolveUrls")
    assert (list(first.object_ids), first.download_name) == ([OBJECT], "")
    assert second.download_name == f"reelgate-{OBJECT}.mp4"


@pytest.mark.usefixtures("local")
async def test_an_object_without_a_link_is_streamed(bff: Bff) -> None:
    answer = await _get(bff)

    assert answer.status == 200
    assert await answer.read() == _DATA
    assert answer.headers["Content-Length"] == str(len(_DATA))
    assert answer.headers["Content-Type"] == "video/mp4"
    assert answer.headers["ETag"] == _ETAG
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Disposition"] == f'inline; filename="reelgate-{OBJECT}.mp4"'
    assert "script-src" not in answer.headers["Content-Security-Policy"]
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")


@pytest.mark.usefixtures("local")
async def test_a_download_has_a_name(bff: Bff) -> None:
    answer = await _get(bff, _PATH + "?download=1")

    assert answer.headers["Content-Disposition"] == f'attachment; filename="reelgate-{OBJECT}.mp4"'
    assert (await _get(bff, _PATH + "?download=yes")).status == 400


@pytest.mark.usefixtures("local")
@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-99", 0, 99),
        ("bytes=100-", 100, 1023),
        ("bytes=-24", 1000, 1023),
        ("bytes=-99999", 0, 1023),
        ("bytes=1000-99999", 1000, 1023),
        ("bytes=0-", 0, 1023),
        ("bytes=1023-1023", 1023, 1023),
        ("Bytes = 5-6", 5, 6),
        ("bytes=7-" + "9" * 30, 7, 1023),
    ],
)
async def test_a_range_is_206(bff: Bff, asked: str, first: int, last: int) -> None:
    answer = await _get(bff, Range=asked)

    assert answer.status == 206
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/1024"
    assert answer.headers["Content-Length"] == str(last - first + 1)
    assert await answer.read() == _DATA[first : last + 1]


@pytest.mark.usefixtures("local")
@pytest.mark.parametrize(
    "asked",
    ["bytes=0-1,5-6", "bytes=5-4", "items=0-1", "bytes=", "bytes=a-b", "bytes=" + "9" * 5000 + "-"],
)
async def test_a_range_that_is_none_is_ignored(bff: Bff, asked: str) -> None:
    answer = await _get(bff, Range=asked)

    assert answer.status == 200
    assert await answer.read() == _DATA


@pytest.mark.usefixtures("local")
@pytest.mark.parametrize("asked", ["bytes=1024-", "bytes=99999-100000", "bytes=" + "9" * 30 + "-"])
async def test_a_range_behind_the_end_is_416(bff: Bff, asked: str) -> None:
    answer = await _get(bff, Range=asked)

    assert answer.status == 416
    assert answer.headers["Content-Range"] == "bytes */1024"
    assert answer.content_type == "application/problem+json"


@pytest.mark.usefixtures("local")
async def test_what_the_reader_has_is_not_sent_again(bff: Bff, backend: Backend) -> None:
    for known in (_ETAG, f"W/{_ETAG}", f'"other", {_ETAG}', "*"):
        answer = await _get(bff, **{"If-None-Match": known, "Range": "bytes=0-1"})

        assert (answer.status, await answer.read()) == (304, b"")
        assert answer.headers["ETag"] == _ETAG
    assert backend.asked("Download") == []
    assert (await _get(bff, **{"If-None-Match": '"other"'})).status == 200


@pytest.mark.usefixtures("local")
async def test_a_range_counts_only_for_the_version_it_names(bff: Bff) -> None:
    same = await _get(bff, **{"If-Range": _ETAG, "Range": "bytes=0-1"})
    other = await _get(bff, **{"If-Range": '"other"', "Range": "bytes=0-1"})

    assert (same.status, other.status) == (206, 200)


@pytest.mark.usefixtures("local")
async def test_head_tells_everything_but_the_bytes(bff: Bff, backend: Backend) -> None:
    answer = await bff.call("HEAD", _PATH)

    assert answer.status == 200
    assert answer.headers["Content-Length"] == str(len(_DATA))
    assert answer.headers["ETag"] == _ETAG
    assert backend.asked("Download") == []


async def test_an_empty_object_is_empty(bff: Bff, backend: Backend) -> None:
    backend.answers |= {
        "GetObject": storage_pb2.GetObjectResponse(object=messages.stored(b"", b"0" * 32)),
        "ResolveUrls": storage_pb2.ResolveUrlsResponse(),
    }
    assert (await _get(bff)).headers["Content-Length"] == "0"
    assert (await _get(bff, Range="bytes=0-")).status == 416


@pytest.mark.usefixtures("local")
async def test_a_source_that_breaks_off_breaks_the_connection(bff: Bff, backend: Backend) -> None:
    """A reader must not take a part for the whole."""
    whole = _stored(storage_pb2.DownloadRequest())
    for broken in ([*whole[:3], Unavailable("Gone.")], whole[:3]):
        backend.answers["Download"] = broken
        with pytest.raises(aiohttp.ClientError):
            await _get(bff)


@pytest.mark.usefixtures("local")
async def test_a_reader_that_hangs_up_ends_the_download(bff: Bff, backend: Backend) -> None:
    whole = _stored(storage_pb2.DownloadRequest())
    backend.answers["Download"] = [*whole[:2], asyncio.Event()]
    headers = {"Authorization": f"Bearer {token()}"}
    async with bff.http.get(bff.url + _PATH, headers=headers) as response:
        await response.content.readexactly(100)
        response.close()
        await until(lambda: backend.cancelled == ["Download"])


_THUMBNAIL = f"{_PATH}?thumbnail=1"


def _small(request: storage_pb2.DownloadRequest) -> list[storage_pb2.DownloadResponse]:
    assert request.thumbnail
    header = storage_pb2.DownloadHeader(object=messages.stored(_DATA, _SHA256), length=6)
    return [
        storage_pb2.DownloadResponse(header=header),
        storage_pb2.DownloadResponse(chunk=b"a webp"),
    ]


async def test_e13_a_thumbnail_on_the_disk_is_kept_by_its_owners_browser(
    bff: Bff, backend: Backend
) -> None:
    backend.answers |= {
        "ResolveUrls": storage_pb2.ResolveUrlsResponse(
            urls=[storage_pb2.ObjectUrl(object_id=OBJECT, has_thumbnail=True)]
        ),
        "Download": _small,
    }
    answer = await _get(bff, _THUMBNAIL)

    assert (answer.status, await answer.read()) == (200, b"a webp")
    assert answer.headers["Content-Type"] == "image/webp"
    assert answer.headers["Content-Length"] == "6"
    assert answer.headers["Cache-Control"] == "private, max-age=3600"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    again = await _get(bff, _THUMBNAIL, **{"If-None-Match": answer.headers["ETag"]})
    assert again.status == 304


async def test_e13_a_thumbnail_with_a_link_is_a_redirection(bff: Bff, backend: Backend) -> None:
    link = storage_pb2.ObjectUrl(
        object_id=OBJECT, url="https://s3/x.mp4", thumbnail_url="https://s3/x", has_thumbnail=True
    )
    backend.answers["ResolveUrls"] = storage_pb2.ResolveUrlsResponse(urls=[link])
    answer = await _get(bff, _THUMBNAIL)

    assert answer.status == 302
    assert answer.headers["Location"] == "https://s3/x"
    assert answer.headers["Cache-Control"] == "private, no-store"


@pytest.mark.parametrize(
    "urls", [[], [storage_pb2.ObjectUrl(object_id=OBJECT, url="https://s3/x")]]
)
async def test_e13_without_a_thumbnail_there_is_none(
    bff: Bff, backend: Backend, urls: list[storage_pb2.ObjectUrl]
) -> None:
    backend.answers["ResolveUrls"] = storage_pb2.ResolveUrlsResponse(urls=urls)
    assert (await _get(bff, _THUMBNAIL)).status == 404

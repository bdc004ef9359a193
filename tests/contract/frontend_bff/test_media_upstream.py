"""The media route for results that lie at their upstream (D6)."""

from typing import Any

import aiohttp
import pytest

from reelgate.gateway.v1 import generation_pb2
from services.kernel.errors import Aborted, FailedPrecondition, NotFound, OutOfRange, Unavailable
from tests.contract.frontend_bff.conftest import Bff, token
from tests.contract.frontend_bff.fakes import Backend
from tests.contract.frontend_bff.messages import OBJECT

_PATH = f"/api/v1/sora/media/{OBJECT}"
_DATA = bytes(range(256)) * 4


def _part(request: Any) -> tuple[int, bytes]:
    offset, length = request.range.offset, request.range.length
    offset = max(0, len(_DATA) + offset) if offset < 0 else offset
    if offset >= len(_DATA):
        raise OutOfRange("Behind the end.")
    return offset, _DATA[offset : offset + length if length else None]


async def _get(bff: Bff, path: str = _PATH, **headers: str) -> aiohttp.ClientResponse:
    sent = {"Authorization": f"Bearer {token()}"} | headers
    return await bff.call("GET", path, headers=sent)


def _upstream(
    backend: Backend,
    *,
    size: int = len(_DATA),
    ignores_ranges: bool = False,
    says_length: bool = True,
    content_type: str = "video/mp4",
) -> None:
    """The bytes lie at the upstream."""

    def answer(request: Any) -> list[generation_pb2.DownloadMediaResponse]:
        offset, data = (0, _DATA) if ignores_ranges else _part(request)
        header = generation_pb2.DownloadMediaHeader(
            content_type=content_type,
            size_bytes=size,
            offset=offset,
            length=len(data) if says_length else -1,
        )
        return [
            generation_pb2.DownloadMediaResponse(header=header),
            generation_pb2.DownloadMediaResponse(chunk=data),
        ]

    backend.answers |= {"GetObject": NotFound("None."), "DownloadMedia": answer}


@pytest.mark.parametrize("content_type", ["text/html", "image/svg+xml", "application/x-evil", ""])
async def test_what_could_run_scripts_is_only_saved(
    bff: Bff, backend: Backend, content_type: str
) -> None:
    _upstream(backend, content_type=content_type)
    answer = await _get(bff)

    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"].startswith("attachment")


async def test_what_storage_does_not_have_comes_from_the_upstream(
    bff: Bff, backend: Backend
) -> None:
    """D6: the upstream's result plays through us."""
    _upstream(backend)
    whole = await _get(bff)
    part = await _get(bff, Range="bytes=100-199")
    rest = await _get(bff, Range="bytes=-24")

    assert (whole.status, await whole.read()) == (200, _DATA)
    assert whole.headers["Cache-Control"] == "private, no-store"
    assert (part.status, await part.read()) == (206, _DATA[100:200])
    assert part.headers["Content-Range"] == "bytes 100-199/1024"
    assert rest.headers["Content-Range"] == "bytes 1000-1023/1024"
    assert (await bff.call("HEAD", _PATH)).headers["Content-Length"] == "1024"


async def test_an_upstream_that_knows_no_ranges_gives_the_whole(bff: Bff, backend: Backend) -> None:
    _upstream(backend, ignores_ranges=True)
    answer = await _get(bff, Range="bytes=100-199")

    assert (answer.status, await answer.read()) == (200, _DATA)


async def test_an_upstream_that_does_not_say_how_much_is_passed_on_as_it_comes(
    bff: Bff, backend: Backend
) -> None:
    _upstream(backend, size=-1, says_length=False)
    whole = await _get(bff, Range="bytes=0-")
    part = await _get(bff, Range="bytes=100-")

    assert (whole.status, await whole.read()) == (200, _DATA)
    assert "Content-Length" not in whole.headers
    assert part.status == 502


async def test_a_part_of_a_whole_of_unknown_size_says_so(bff: Bff, backend: Backend) -> None:
    _upstream(backend, size=-1)
    answer = await _get(bff, Range="bytes=0-9")

    assert answer.headers["Content-Range"] == "bytes 0-9/*"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (NotFound("None."), 404, "not_found"),
        (FailedPrecondition("Dead.", reason="LINK_EXPIRED"), 410, "link_expired"),
        (OutOfRange("Behind."), 416, "out_of_range"),
        (Aborted("Broken.", reason="SOURCE_FAILED"), 502, "source_failed"),
        (Unavailable("Not now."), 503, "unavailable"),
    ],
)
async def test_a_medium_that_is_not_to_be_had_says_why(
    bff: Bff, backend: Backend, error: Exception, status: int, code: str
) -> None:
    backend.answers |= {"GetObject": NotFound("None."), "DownloadMedia": error}
    answer = await _get(bff)

    assert answer.status == status
    assert (await answer.json())["code"] == code

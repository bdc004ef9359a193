"""Reference images: streamed through, or sent straight to the bucket (E4, E7)."""

import asyncio
import gzip
import hashlib
import io
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from reelgate.common.v1 import media_pb2
from reelgate.gateway.v1 import identity_pb2
from reelgate.storage.v1 import storage_pb2
from services.frontend_bff.routes import uploads
from services.kernel.errors import Aborted, FailedPrecondition, NotFound, Unavailable
from tests.contract.frontend_bff import messages
from tests.contract.frontend_bff.conftest import Bff, token, until
from tests.contract.frontend_bff.fakes import Backend
from tests.contract.frontend_bff.messages import OBJECT, USER

_UPLOADS = "/api/v1/sora/uploads"
_JPEG = b"\xff\xd8\xff\xe0" + b"j" * 3000
_PNG = b"\x89PNG\r\n\x1a\n" + b"p" * 3000
_WEBP = b"RIFF\0\0\0\0WEBP" + b"w" * 3000
_MIB = 1024 * 1024


@pytest.fixture(autouse=True)
def known(backend: Backend) -> None:
    kept = messages.stored(_JPEG, b"", "image/jpeg")
    backend.answers |= {
        "GetMe": identity_pb2.GetMeResponse(user=messages.user()),
        "Upload": storage_pb2.UploadResponse(object=kept),
        "ResolveUrls": storage_pb2.ResolveUrlsResponse(
            urls=[storage_pb2.ObjectUrl(object_id=OBJECT, url="https://files.example/a.jpg")]
        ),
        "PresignUpload": storage_pb2.PresignUploadResponse(
            object_id=OBJECT,
            url="https://s3.example/put",
            method="PUT",
            headers={"Content-Type": "image/png"},
            expire_time=Timestamp(seconds=1_760_000_000),
        ),
        "CommitPresignedUpload": storage_pb2.CommitPresignedUploadResponse(object=kept),
    }


def _sent(backend: Backend) -> tuple[storage_pb2.UploadHeader, bytes, storage_pb2.UploadCommit]:
    """What storage got: header, bytes, commit."""
    ((first, *chunks, last),) = backend.asked("Upload")
    assert all(one.WhichOneof("part") == "chunk" for one in chunks)
    return first.header, b"".join(one.chunk for one in chunks), last.commit


def _form(data: bytes) -> aiohttp.FormData:
    form = aiohttp.FormData()
    form.add_field(
        "file", io.BytesIO(data), filename="../../x.exe", content_type="application/x-msdownload"
    )
    form.add_field("note", "not read")
    return form


@pytest.mark.parametrize("data", [_JPEG, _PNG, _WEBP])
@pytest.mark.parametrize("in_a_form", [True, False])
async def test_e4_an_image_is_kept_whatever_it_is_called(
    bff: Bff, backend: Backend, data: bytes, in_a_form: bool
) -> None:
    body = _form(data) if in_a_form else data
    answer = await bff.call("POST", _UPLOADS, data=body)

    assert answer.status == 201
    assert await answer.json() == {
        "object_id": OBJECT,
        "url": "https://files.example/a.jpg",
        "size_bytes": len(_JPEG),
        "content_type": "image/jpeg",
    }
    header, arrived, commit = _sent(backend)
    assert header == storage_pb2.UploadHeader(
        owner_id=USER,
        media_type=media_pb2.MEDIA_TYPE_IMAGE,
        size_bytes=0 if in_a_form else len(data),
    )
    assert arrived == data
    assert (commit.size_bytes, commit.sha256) == (len(data), hashlib.sha256(data).digest())


async def test_e4_an_image_without_a_link_gets_our_media_route(bff: Bff, backend: Backend) -> None:
    backend.answers["ResolveUrls"] = storage_pb2.ResolveUrlsResponse(
        urls=[storage_pb2.ObjectUrl(object_id=OBJECT)]
    )
    answer = await bff.call("POST", _UPLOADS, data=_PNG)

    assert (await answer.json())["url"] == f"/api/v1/sora/media/{OBJECT}"


async def test_e4_bytes_go_on_as_they_arrive(bff: Bff, backend: Backend) -> None:
    first_arrived = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield _PNG[:5]
        yield _PNG[5:]
        await until(lambda: bool(backend.asked("GetMe")))
        first_arrived.set()
        for _ in range(40):
            yield b"x" * 200_000

    answer = await bff.call("POST", _UPLOADS, data=slowly())

    assert answer.status == 201
    header, arrived, _ = _sent(backend)
    assert header.size_bytes == 0
    assert len(arrived) == len(_PNG) + 8_000_000
    assert arrived.startswith(_PNG)


async def test_e4_a_compressed_body_is_what_it_unpacks_to(bff: Bff, backend: Backend) -> None:
    headers = {"Authorization": f"Bearer {token()}", "Content-Encoding": "gzip"}
    answer = await bff.call("POST", _UPLOADS, data=gzip.compress(_PNG), headers=headers)

    assert answer.status == 201
    header, arrived, _ = _sent(backend)
    assert (header.size_bytes, arrived) == (0, _PNG)


async def _endless() -> AsyncIterator[bytes]:
    yield _PNG
    while True:
        yield b"x" * 100_000


@pytest.mark.parametrize("kind", ["declared", "chunked", "form", "bomb"])
async def test_e4_more_than_ten_mebibytes_are_413_and_nothing_is_kept(
    bff: Bff, backend: Backend, kind: str
) -> None:
    headers = {"Authorization": f"Bearer {token()}"}
    large = _PNG + b"x" * 10 * _MIB
    body: Any = {"declared": io.BytesIO(large), "chunked": _endless(), "form": _form(large)}.get(
        kind
    )
    if kind == "bomb":
        body = gzip.compress(_PNG + bytes(50 * _MIB))
        headers["Content-Encoding"] = "gzip"
    try:
        answer = await bff.call("POST", _UPLOADS, data=body, headers=headers)
    except aiohttp.ClientError:
        # The answer was there before the body was, and the connection closed upon it.
        assert kind == "chunked"
    else:
        assert answer.status == 413
        assert (await answer.json())["code"] == "object_too_large"
    assert backend.asked("Upload") == []


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"\xff\xd8\xff",
        b"GIF89a" + b"g" * 100,
        b"<svg onload=alert(1)>" * 10,
        b"RIFF\0\0\0\0WAVE" + b"a" * 100,
        b"\0" * 100,
    ],
)
@pytest.mark.parametrize("in_a_form", [True, False])
async def test_e4_what_is_no_image_is_400_and_never_sent_on(
    bff: Bff, backend: Backend, data: bytes, in_a_form: bool
) -> None:
    headers = {"Authorization": f"Bearer {token()}"}
    if not in_a_form:
        headers["Content-Type"] = "image/png"
    body = _form(data) if in_a_form else data
    answer = await bff.call("POST", _UPLOADS, data=body, headers=headers)

    assert answer.status == 400
    problem = await answer.json()
    assert (problem["code"], problem["errors"][0]["field"]) == ("bad_file", "file")
    assert backend.asked("Upload") == []


_BOUNDARY = {"Content-Type": "multipart/form-data; boundary=b"}


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"Content-Type": "multipart/form-data"}, b"--b\r\n\r\nx"),
        ({"Content-Type": "multipart/form-data; boundary=" + "b" * 200}, b"--b\r\n\r\nx"),
        (_BOUNDARY, b""),
        (_BOUNDARY, b"not a form at all"),
        (_BOUNDARY, b"--b--\r\n"),
        (_BOUNDARY, b"--b\r\nContent-Disposition: form-data; name=note\r\n\r\nhi\r\n--b--\r\n"),
        (_BOUNDARY, b"--b\r\nno header\r\n\r\nx\r\n--b--\r\n"),
        (_BOUNDARY, b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\n"),
        (
            _BOUNDARY,
            b'--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n' + _PNG,
        ),
    ],
)
async def test_e4_a_form_that_is_none_is_400(
    bff: Bff, backend: Backend, headers: dict[str, str], body: bytes
) -> None:
    sent = {"Authorization": f"Bearer {token()}"} | headers
    answer = await bff.call("POST", _UPLOADS, data=body, headers=sent)

    assert answer.status == 400
    assert answer.content_type == "application/problem+json"
    assert backend.asked("Upload") == []


async def test_e4_a_sender_that_falls_silent_is_408(
    bff: Bff, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "_IDLE_SECONDS", 0.2)

    async def stalls() -> AsyncIterator[bytes]:
        yield _PNG
        await asyncio.sleep(3)
        yield b"too late"

    try:
        answer = await bff.call("POST", _UPLOADS, data=stalls())
    except aiohttp.ClientError:
        pass
    else:
        assert answer.status == 408
    await until(lambda: "Upload" in backend.cancelled)
    assert backend.asked("Upload") == []


async def test_e4_a_sender_that_hangs_up_leaves_nothing(bff: Bff, backend: Backend) -> None:
    async def breaks_off() -> AsyncIterator[bytes]:
        yield _PNG
        await asyncio.sleep(0.2)
        raise OSError("gone")

    with pytest.raises((aiohttp.ClientError, OSError)):
        await bff.call("POST", _UPLOADS, data=breaks_off())
    await until(lambda: "Upload" in backend.cancelled)
    assert backend.asked("Upload") == []


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Aborted("It is a film.", reason="SOURCE_FAILED"), 400, "bad_file"),
        (Unavailable("No tier.", reason="NO_TIER"), 503, "storage_disabled"),
    ],
)
async def test_e4_what_storage_refuses_is_said(
    bff: Bff, backend: Backend, error: Exception, status: int, code: str
) -> None:
    backend.answers["Upload"] = error
    answer = await bff.call("POST", _UPLOADS, data=_JPEG)

    assert answer.status == status
    assert (await answer.json())["code"] == code


async def test_e7_a_link_to_upload_with_and_its_commit(bff: Bff, backend: Backend) -> None:
    form = {"size_bytes": 5, "content_type": "image/png"}
    made = await bff.call("POST", f"{_UPLOADS}/presign", json=form)

    assert made.status == 200
    assert await made.json() == {
        "object_id": OBJECT,
        "url": "https://s3.example/put",
        "method": "PUT",
        "headers": {"Content-Type": "image/png"},
        "expires_at": "2025-10-09T08:53:20Z",
    }
    (asked,) = backend.asked("PresignUpload")
    assert asked == storage_pb2.PresignUploadRequest(
        owner_id=USER, size_bytes=5, content_type="image/png"
    )

    committed = await bff.call("POST", f"{_UPLOADS}/{OBJECT}/commit")
    assert committed.status == 200
    assert (await committed.json())["url"] == "https://files.example/a.jpg"
    assert backend.asked("CommitPresignedUpload")[0].object_id == OBJECT


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (FailedPrecondition("Not there.", reason="NOT_UPLOADED"), 409, "not_uploaded"),
        (Aborted("It is a film.", reason="SOURCE_FAILED"), 400, "bad_file"),
        (NotFound("Never made."), 404, "not_found"),
    ],
)
async def test_e7_a_commit_that_is_refused_says_why(
    bff: Bff, backend: Backend, error: Exception, status: int, code: str
) -> None:
    backend.answers["CommitPresignedUpload"] = error
    answer = await bff.call("POST", f"{_UPLOADS}/{OBJECT}/commit")

    assert (answer.status, (await answer.json())["code"]) == (status, code)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"size_bytes": 0}, "size_bytes"),
        ({"size_bytes": 10 * _MIB + 1}, "size_bytes"),
        ({"size_bytes": "5"}, "size_bytes"),
        ({"content_type": "image/svg+xml"}, "content_type"),
        ({"content_type": "image/png\r\nX-Evil: 1"}, "content_type"),
        ({"content_type": None}, "content_type"),
    ],
)
async def test_e7_a_bad_wish_is_400_and_names_the_field(
    bff: Bff, backend: Backend, change: dict[str, Any], field: str
) -> None:
    form = {"size_bytes": 5, "content_type": "image/png"}
    answer = await bff.call("POST", f"{_UPLOADS}/presign", json=form | change)

    assert answer.status == 400
    assert [error["field"] for error in (await answer.json())["errors"]] == [field]
    assert backend.asked("PresignUpload") == []


@pytest.mark.parametrize("path", ["", "/presign", f"/{OBJECT}/commit"])
async def test_uploads_need_a_session_and_a_page_of_ours(
    bff: Bff, backend: Backend, path: str
) -> None:
    cookies = {"Cookie": f"reelgate_access={token()}", "Sec-Fetch-Site": "cross-site"}
    nobody = await bff.call("POST", _UPLOADS + path, headers={}, data=_PNG)
    elsewhere = await bff.call("POST", _UPLOADS + path, headers=cookies, data=_PNG)

    assert (nobody.status, elsewhere.status) == (401, 403)
    assert backend.calls == [] or {call.method for call in backend.calls} == {"GetStatus"}

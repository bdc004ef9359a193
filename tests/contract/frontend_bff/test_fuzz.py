"""Whatever is sent: never a 5xx, and every refusal is a problem that a program can read."""

import json
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from yarl import URL

from reelgate.gateway.v1 import generation_pb2, identity_pb2
from reelgate.quota.v1 import credit_pb2, quota_pb2
from reelgate.storage.v1 import settings_pb2, storage_pb2
from services.kernel.errors import NotFound
from tests.contract.frontend_bff import arbitrary, messages
from tests.contract.frontend_bff.conftest import Bff, token
from tests.contract.frontend_bff.fakes import Backend
from tests.contract.frontend_bff.messages import GENERATION, GROUP, OBJECT, USER

_many = settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(autouse=True)
def known(backend: Backend) -> None:
    one = messages.generation()
    backend.answers |= {
        "CreateGeneration": generation_pb2.CreateGenerationResponse(generation=one),
        "GetGeneration": generation_pb2.GetGenerationResponse(generation=one),
        "ListGenerations": generation_pb2.ListGenerationsResponse(generations=[one]),
        "WatchGenerations": [],
        "DownloadMedia": NotFound("None."),
        "GetObject": NotFound("None."),
        "GetMe": identity_pb2.GetMeResponse(user=messages.user()),
        "Login": identity_pb2.LoginResponse(user=messages.user(), tokens=messages.tokens()),
        "Refresh": identity_pb2.RefreshResponse(user=messages.user(), tokens=messages.tokens()),
        "ExchangeApiKey": NotFound("None."),
        "ListUsers": identity_pb2.ListUsersResponse(users=[messages.user()]),
        "GetUser": identity_pb2.GetUserResponse(user=messages.user()),
        "CreateUser": identity_pb2.CreateUserResponse(user=messages.user()),
        "UpdateUser": identity_pb2.UpdateUserResponse(user=messages.user()),
        "GetGroup": identity_pb2.GetGroupResponse(group=messages.group()),
        "CreateGroup": identity_pb2.CreateGroupResponse(group=messages.group()),
        "UpdateGroup": identity_pb2.UpdateGroupResponse(group=messages.group()),
        "BatchGetUsage": messages.usages,
        "ListUsage": quota_pb2.ListUsageResponse(),
        "ListDailyUsage": quota_pb2.ListDailyUsageResponse(),
        "ListLimits": quota_pb2.ListLimitsResponse(),
        "SetLimits": quota_pb2.SetLimitsResponse(),
        "ListTransactions": credit_pb2.ListTransactionsResponse(),
        "GrantCredits": credit_pb2.GrantCreditsResponse(),
        "ListPrices": credit_pb2.ListPricesResponse(),
        "SetPrices": credit_pb2.SetPricesResponse(),
        "GetS3Settings": settings_pb2.GetS3SettingsResponse(),
        "UpdateS3Settings": settings_pb2.UpdateS3SettingsResponse(),
        "ResetS3Settings": settings_pb2.ResetS3SettingsResponse(),
        "TestS3Settings": [],
        "ListUploads": storage_pb2.ListUploadsResponse(),
        "GetCosts": storage_pb2.GetCostsResponse(),
        "Upload": storage_pb2.UploadResponse(),
        "ResolveUrls": storage_pb2.ResolveUrlsResponse(),
        "PresignUpload": storage_pb2.PresignUploadResponse(),
    }


async def _is_readable(answer: aiohttp.ClientResponse) -> None:
    assert answer.status < 500, await answer.text()
    if answer.status >= 400:
        assert answer.content_type == "application/problem+json"
        assert (await answer.json())["request_id"] == answer.headers["X-Request-Id"]


@_many
@given(body=arbitrary.bodies)
async def test_any_json_as_a_body(bff: Bff, body: Any) -> None:
    raw = json.dumps(body).encode()
    for path in ("/api/v1/sora/generate", "/api/v1/auth/login"):
        answer = await bff.call("POST", path, data=raw)
        await _is_readable(answer)
        assert answer.status in (200, 202, 400)


@_many
@given(body=arbitrary.s3_bodies)
async def test_any_json_as_s3_settings(bff: Bff, body: Any) -> None:
    raw = json.dumps(body).encode()
    for method, path in (
        ("PUT", "/api/v1/admin/storage/s3"),
        ("POST", "/api/v1/admin/storage/s3/test"),
    ):
        answer = await bff.call(method, path, data=raw)
        await _is_readable(answer)
        assert answer.status in (200, 400)


@_many
@given(body=arbitrary.people_bodies)
async def test_any_json_as_people_and_limits(bff: Bff, body: Any) -> None:
    raw = json.dumps(body).encode()
    for method, path in (
        ("POST", "users"),
        ("PATCH", f"users/{USER}"),
        ("POST", "groups"),
        ("PATCH", f"groups/{GROUP}"),
        ("PUT", "quota/default"),
    ):
        answer = await bff.call(method, f"/api/v1/admin/{path}", data=raw)
        await _is_readable(answer)
        assert answer.status in (200, 201, 400)


@_many
@given(grant=arbitrary.grant_bodies, prices=arbitrary.price_bodies)
async def test_any_json_as_credits(bff: Bff, grant: Any, prices: Any) -> None:
    for path, body in ((f"users/{USER}/credits", grant), ("prices", prices)):
        answer = await bff.call("POST", f"/api/v1/admin/{path}", data=json.dumps(body).encode())
        await _is_readable(answer)
        assert answer.status in (200, 400)


@_many
@given(
    raw=st.one_of(
        st.binary(max_size=200), arbitrary.bodies.map(lambda body: json.dumps(body).encode()[1:])
    )
)
async def test_any_bytes_as_a_body(bff: Bff, raw: bytes) -> None:
    await _is_readable(await bff.call("POST", "/api/v1/sora/generate", data=raw))


@_many
@given(
    body=st.one_of(
        st.fixed_dictionaries(
            {
                "size_bytes": st.one_of(st.integers(), arbitrary.values),
                "content_type": st.just("image/png"),
            }
        ),
        arbitrary.values,
    )
)
async def test_any_json_as_a_wish_to_upload(bff: Bff, body: Any) -> None:
    answer = await bff.call("POST", "/api/v1/sora/uploads/presign", data=json.dumps(body).encode())
    await _is_readable(answer)
    assert answer.status in (200, 400)


@_many
@given(
    content_type=st.one_of(
        st.sampled_from(
            ["image/png", "multipart/form-data; boundary=b", "multipart/form-data; boundary="]
        ),
        st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=20).map(
            lambda text: f"multipart/form-data;{text}".strip()
        ),
    ),
    pieces=st.lists(
        st.one_of(
            st.sampled_from(
                [
                    b"--b\r\n",
                    b"--b--\r\n",
                    b"--b",
                    b"\r\n",
                    b'Content-Disposition: form-data; name="f"; filename="f"\r\n',
                    b"Content-Length: 5\r\n",
                    b"Content-Transfer-Encoding: base64\r\n",
                    b"Content-Type: multipart/mixed; boundary=c\r\n",
                    b"\x89PNG\r\n\x1a\n and more",
                    b"\xff\xd8\xff",
                ]
            ),
            st.binary(max_size=20),
        ),
        max_size=8,
    ),
)
async def test_any_bytes_as_an_upload(bff: Bff, content_type: str, pieces: list[bytes]) -> None:
    headers = {"Authorization": f"Bearer {token()}", "Content-Type": content_type}
    body = b"".join(pieces)
    answer = await bff.call("POST", "/api/v1/sora/uploads", data=body, headers=headers)
    await _is_readable(answer)
    assert answer.status in (201, 400)


_query_values = st.one_of(st.integers().map(str), st.binary(max_size=8))


def _escaped(value: str | bytes) -> str:
    data = value.encode() if isinstance(value, str) else value
    return "".join(f"%{byte:02x}" for byte in data)


async def _ask(bff: Bff, method: str, path: str, query: dict[str, str | bytes]) -> None:
    text = "&".join(f"{name}={_escaped(value)}" for name, value in query.items())
    url = URL(f"{bff.url}{path}?{text}", encoded=True)
    headers = {"Authorization": f"Bearer {token()}"}
    async with bff.http.request(method, url, headers=headers) as answer:
        await answer.read()
        await _is_readable(answer)


@_many
@given(
    query=st.dictionaries(
        st.sampled_from(
            ["status", "storage_type", "media_type", "q", "page_size", "page_token", "include"]
        ),
        _query_values,
        max_size=4,
    )
)
async def test_any_bytes_as_a_query(bff: Bff, query: dict[str, str | bytes]) -> None:
    await _ask(bff, "GET", "/api/v1/sora/generations", query)


@_many
@given(
    query=st.dictionaries(
        st.sampled_from(
            ["start", "end", "page_size", "page_token", "etag", "leave_objects_behind"]
        ),
        st.one_of(
            _query_values,
            arbitrary.times,
        ),
        max_size=4,
    )
)
async def test_any_bytes_as_a_query_about_storage(bff: Bff, query: dict[str, str | bytes]) -> None:
    for method, path in (("GET", "uploads"), ("GET", "costs"), ("DELETE", "s3")):
        await _ask(bff, method, f"/api/v1/admin/storage/{path}", query)


@_many
@given(
    query=st.dictionaries(
        st.sampled_from(["first_date", "last_date", "user_id", "q", "page_size", "page_token"]),
        st.one_of(_query_values, st.dates().map(str), st.just(USER)),
        max_size=4,
    )
)
async def test_any_bytes_as_a_query_about_people(bff: Bff, query: dict[str, str | bytes]) -> None:
    for path in ("sora/usage", "sora/credits/transactions", "admin/usage", "admin/users"):
        await _ask(bff, "GET", f"/api/v1/{path}", query)


@_many
@given(
    name=st.sampled_from(
        (
            *("Authorization", "Cookie", "Origin", "Sec-Fetch-Site", "Idempotency-Key", "Range"),
            *(
                "Last-Event-ID",
                "X-Request-Id",
                "If-Range",
                "If-None-Match",
                "Accept",
                "Content-Type",
            ),
        )
    ),
    value=arbitrary.header_texts,
    prefix=st.sampled_from(
        ["", "Bearer ", "Bearer rg-", "bytes=", "reelgate_access=", "reelgate_refresh="]
    ),
)
async def test_any_header(bff: Bff, name: str, value: str, prefix: str) -> None:
    value = (prefix + value).strip()
    headers = {"Authorization": f"Bearer {token()}"} | {
        name: value.encode("latin-1").decode("utf-8", "surrogateescape")
    }
    for method, path in (
        ("GET", "/api/v1/auth/me"),
        ("GET", "/api/v1/sora/events"),
        ("GET", f"/api/v1/sora/media/{OBJECT}"),
        ("POST", "/api/v1/auth/refresh"),
        ("GET", "/library"),
    ):
        answer = await bff.call(method, path, headers=headers)
        if path == "/library" and answer.status == 503:
            continue  # the page that says that the UI is not built
        await _is_readable(answer)


@_many
@given(segment=st.binary(min_size=1, max_size=12))
async def test_any_bytes_as_a_path(bff: Bff, segment: bytes) -> None:
    escaped = "".join(f"%{byte:02X}" for byte in segment)
    headers = {"Authorization": f"Bearer {token()}"}
    for path in ("/", "/api/", "/assets/", "/api/v1/sora/generations/", "/api/v1/sora/media/"):
        url = URL(f"{bff.url}{path}{escaped}", encoded=True)
        async with bff.http.get(url, headers=headers, allow_redirects=False) as answer:
            await answer.read()
            await _is_readable(answer)


async def test_an_id_in_capitals_is_the_same_id(bff: Bff, backend: Backend) -> None:
    await bff.call("GET", f"/api/v1/sora/generations/{GENERATION.upper()}")

    assert backend.asked("GetGeneration")[0].generation_id == GENERATION

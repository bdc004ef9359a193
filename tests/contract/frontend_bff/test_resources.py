"""The small resources, health, and addresses that are none (H2, G6, J1)."""

from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from reelgate.common.v1 import media_pb2
from reelgate.gateway.v1 import identity_pb2, model_pb2
from reelgate.quota.v1 import quota_pb2
from reelgate.storage.v1 import storage_pb2
from tests.contract.frontend_bff import messages
from tests.contract.frontend_bff.conftest import Bff, token
from tests.contract.frontend_bff.fakes import Backend
from tests.contract.frontend_bff.messages import GENERATION

_ONE = f"/api/v1/sora/generations/{GENERATION}"


async def test_an_unknown_address_of_the_api_is_404(bff: Bff) -> None:
    for path in ("/api", "/api/", "/api/v2", "/api/v1/keys", "/api/v1/sora/generations/"):
        for method in ("GET", "POST", "DELETE", "OPTIONS"):
            answer = await bff.call(method, path, headers={"Accept": "text/html"})

            assert answer.status == 404, (method, path)
            assert answer.content_type == "application/problem+json"
            assert (await answer.json())["code"] == "not_found"
            assert answer.headers["X-Request-Id"]


async def test_a_method_that_an_address_does_not_know_is_405(bff: Bff) -> None:
    answer = await bff.call("PATCH", _ONE)

    assert answer.status == 405
    assert (await answer.json())["code"] == "method_not_allowed"
    assert answer.headers["Allow"] == "DELETE,GET,HEAD"


async def test_a_request_id_crosses_into_the_services(bff: Bff, backend: Backend) -> None:
    """J2."""
    headers = {"Authorization": f"Bearer {token()}", "X-Request-Id": "from-a-proxy-1"}
    answer = await bff.call("GET", _ONE, headers=headers)

    assert answer.headers["X-Request-Id"] == "from-a-proxy-1"
    assert (
        next(one for one in backend.calls if one.method == "GetGeneration").request_id
        == "from-a-proxy-1"
    )


async def test_a_request_id_that_could_do_harm_is_replaced(bff: Bff) -> None:
    answer = await bff.call("GET", "/healthz", headers={"X-Request-Id": "a b<script>"})

    assert answer.headers["X-Request-Id"] not in ("", "a b<script>")


async def test_the_small_resources_answer(bff: Bff, backend: Backend) -> None:
    """H2, G6: public settings, models, quota, storage status, health."""
    backend.answers |= {
        "GetPublicSettings": model_pb2.GetPublicSettingsResponse(
            client_enabled=True, default_locale="en", version="0.1.0"
        ),
        "ListModels": model_pb2.ListModelsResponse(
            models=[
                model_pb2.Model(
                    id="sora2-landscape-10s",
                    family="sora2",
                    name="Sora 2",
                    media_type=media_pb2.MEDIA_TYPE_VIDEO,
                    orientation="landscape",
                    duration=Duration(seconds=10),
                    credits=10,
                    shutdown_time=Timestamp(seconds=1_760_000_000),
                ),
                model_pb2.Model(id="gpt-image", media_type=media_pb2.MEDIA_TYPE_IMAGE),
            ]
        ),
        "GetQuota": quota_pb2.GetQuotaResponse(
            quota=quota_pb2.Quota(
                quota_bytes=-1,
                used_bytes=5,
                reserved_bytes=1,
                available_bytes=-1,
                source=quota_pb2.QUOTA_SOURCE_UNLIMITED,
            )
        ),
        "GetMe": identity_pb2.GetMeResponse(user=messages.user()),
        "GetStatus": storage_pb2.GetStatusResponse(s3_enabled=True, local_enabled=True),
    }

    async def get(path: str, headers: dict[str, str] | None = None) -> Any:
        answer = await bff.call("GET", path, headers=headers)
        assert answer.status == 200
        return await answer.json()

    assert await get("/api/v1/settings/public", {}) == {
        "sora_client_enabled": True,
        "registration_enabled": False,
        "default_locale": "en",
        "version": "0.1.0",
    }
    video, image = await get("/api/v1/sora/models")
    assert video == {
        "id": "sora2-landscape-10s",
        "family": "sora2",
        "name": "Sora 2",
        "type": "video",
        "orientation": "landscape",
        "duration_seconds": 10.0,
        "parameters": {},
        "credits": 10,
        "shutdown_date": "2025-10-09",
    }
    assert (image["orientation"], image["duration_seconds"]) == (None, None)
    assert await get("/api/v1/sora/quota") == {
        "quota_bytes": -1,
        "used_bytes": 5,
        "reserved_bytes": 1,
        "available_bytes": -1,
        "source": "unlimited",
    }
    assert await get("/api/v1/sora/storage-status") == {
        "s3_enabled": True,
        "s3_healthy": False,
        "local_enabled": True,
    }
    assert await get("/healthz", {}) == {"status": "healthy"}
    assert await get("/health", {}) == {"status": "healthy"}
    assert await get("/readyz", {}) == {"status": "ready"}

"""Messages that tests answer with."""

from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from reelgate.common.v1 import media_pb2
from reelgate.gateway.v1 import generation_pb2, identity_pb2
from reelgate.quota.v1 import credit_pb2, quota_pb2
from reelgate.storage.v1 import storage_pb2

USER = "01930000-0000-7000-8000-000000000001"
GROUP = "01930000-0000-7000-8000-0000000000cc"
GENERATION = "01930000-0000-7000-8000-0000000000aa"
OBJECT = "01930000-0000-5000-8000-0000000000bb"
CREATED = Timestamp(seconds=1_760_000_000)


def user(**changes: Any) -> identity_pb2.User:
    fields: dict[str, Any] = {
        "id": USER,
        "email": "ada@example.org",
        "role": identity_pb2.ROLE_USER,
        "create_time": CREATED,
    }
    return identity_pb2.User(**fields | changes)


def tokens(access: str = "access", refresh: str = "refresh") -> identity_pb2.Tokens:
    return identity_pb2.Tokens(
        access_token=access,
        access_lifetime=Duration(seconds=900),
        refresh_token=refresh,
        refresh_lifetime=Duration(seconds=86_400),
    )


def generation(**changes: Any) -> generation_pb2.Generation:
    fields: dict[str, Any] = {
        "id": GENERATION,
        "user_id": USER,
        "rev": 7,
        "model": "sora2-landscape-10s",
        "prompt": "a lighthouse",
        "media_type": media_pb2.MEDIA_TYPE_VIDEO,
        "orientation": "landscape",
        "duration": Duration(seconds=10),
        "count": 1,
        "status": generation_pb2.GENERATION_STATUS_PENDING,
        "stage": generation_pb2.GENERATION_STAGE_QUEUED,
        "storage_type": generation_pb2.STORAGE_TYPE_NONE,
        "credits": 10,
        "create_time": CREATED,
        "update_time": CREATED,
    }
    return generation_pb2.Generation(**fields | changes)


def changed(rev: int, **changes: Any) -> generation_pb2.WatchGenerationsResponse:
    return generation_pb2.WatchGenerationsResponse(generation=generation(rev=rev, **changes))


def deleted(rev: int) -> generation_pb2.WatchGenerationsResponse:
    gone = generation_pb2.DeletedGeneration(generation_id=GENERATION, rev=rev)
    return generation_pb2.WatchGenerationsResponse(deleted=gone)


def heartbeat(rev: int) -> generation_pb2.WatchGenerationsResponse:
    return generation_pb2.WatchGenerationsResponse(heartbeat=generation_pb2.WatchHeartbeat(rev=rev))


def stored(data: bytes, sha256: bytes, content_type: str = "video/mp4") -> storage_pb2.StoredObject:
    return storage_pb2.StoredObject(
        id=OBJECT,
        owner_id=USER,
        tier=storage_pb2.TIER_LOCAL,
        size_bytes=len(data),
        content_type=content_type,
        sha256=sha256,
    )


def group(**changes: Any) -> identity_pb2.Group:
    fields: dict[str, Any] = {"id": GROUP, "name": "team", "create_time": CREATED}
    return identity_pb2.Group(**fields | changes)


def credits(user_id: str = USER) -> credit_pb2.Credits:  # noqa: A001 - as it is called
    return credit_pb2.Credits(
        user_id=user_id, balance=70, held=10, total_earned=100, total_spent=20
    )


def usage(user_id: str = USER, **changes: Any) -> quota_pb2.Usage:
    quota = quota_pb2.Quota(
        user_id=user_id,
        quota_bytes=1000,
        used_bytes=300,
        reserved_bytes=100,
        available_bytes=600,
        source=quota_pb2.QUOTA_SOURCE_GROUP,
    )
    fields: dict[str, Any] = {"quota": quota, "limit_bytes": 0, "credits": credits(user_id)}
    return quota_pb2.Usage(**fields | changes)


def usages(request: quota_pb2.BatchGetUsageRequest) -> quota_pb2.BatchGetUsageResponse:
    return quota_pb2.BatchGetUsageResponse(usages=map(usage, request.user_ids))

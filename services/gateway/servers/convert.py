"""Generations as messages."""

from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from reelgate.common.v1 import media_pb2
from reelgate.gateway.v1 import generation_pb2
from services.gateway.clients import Link
from services.gateway.generations import FAILURES, Generation, Media
from services.gateway.service import View

_STATUS: Final = {
    "pending": generation_pb2.GENERATION_STATUS_PENDING,
    "generating": generation_pb2.GENERATION_STATUS_GENERATING,
    "completed": generation_pb2.GENERATION_STATUS_COMPLETED,
    "failed": generation_pb2.GENERATION_STATUS_FAILED,
    "cancelled": generation_pb2.GENERATION_STATUS_CANCELLED,
}
_STAGE: Final = {
    "admitting": generation_pb2.GENERATION_STAGE_ADMITTING,
    "queued": generation_pb2.GENERATION_STAGE_QUEUED,
    "submitting": generation_pb2.GENERATION_STAGE_SUBMITTING,
    "generating": generation_pb2.GENERATION_STAGE_GENERATING,
    "unknown": generation_pb2.GENERATION_STAGE_UNKNOWN,
    "storing": generation_pb2.GENERATION_STAGE_STORING,
    "stored": generation_pb2.GENERATION_STAGE_STORED,
}
_STORAGE: Final = {
    "none": generation_pb2.STORAGE_TYPE_NONE,
    "s3": generation_pb2.STORAGE_TYPE_S3,
    "local": generation_pb2.STORAGE_TYPE_LOCAL,
    "upstream": generation_pb2.STORAGE_TYPE_UPSTREAM,
}
_MEDIA_TYPE: Final = {
    "video": media_pb2.MEDIA_TYPE_VIDEO,
    "image": media_pb2.MEDIA_TYPE_IMAGE,
}
STATUS_NAMES: Final = {number: name for name, number in _STATUS.items()}
STORAGE_NAMES: Final = {number: name for name, number in _STORAGE.items()}
MEDIA_TYPE_NAMES: Final = {number: name for name, number in _MEDIA_TYPE.items()}


def timestamp(value: datetime | None) -> Timestamp | None:
    """None stays absent."""
    if value is None:
        return None
    message = Timestamp()
    message.FromDatetime(value.astimezone(UTC))
    return message


def seconds(value: float | None) -> Duration | None:
    """None stays absent."""
    if value is None:
        return None
    message = Duration()
    message.FromMilliseconds(round(value * 1000))
    return message


def to_message(view: View) -> generation_pb2.Generation:
    """The whole record."""
    row = view.generation
    message = generation_pb2.Generation(
        id=str(row.id),
        user_id=str(row.user_id),
        run=row.run,
        rev=row.rev,
        model=row.model,
        prompt=row.prompt,
        media_type=_MEDIA_TYPE[row.media_type],
        orientation=row.orientation,
        duration=seconds(row.duration_seconds),
        count=row.count,
        input_urls=row.input_urls,
        status=_STATUS[row.status],
        stage=_STAGE[row.stage],
        progress_percent=row.progress_percent,
        storage_type=_STORAGE[row.storage_type],
        media=[_medium(medium, link) for medium, link in view.media],
        size_bytes=row.size_bytes,
        error=_notice(row.error_code, row.error_message),
        notice=_notice(row.notice_code, row.notice_message),
        retry_count=row.run,
        cached=row.cached,
        credits=row.credits,
        api_key_id="" if row.api_key_id is None else str(row.api_key_id),
        create_time=timestamp(row.created_at),
        update_time=timestamp(row.updated_at),
        start_time=timestamp(row.started_at),
        end_time=timestamp(row.completed_at),
        estimated_end_time=timestamp(_estimate(row)),
        expire_time=timestamp(row.expires_at),
        expired=row.expired,
        can_save=row.can_save,
    )
    message.parameters.update(dict(row.parameters))
    return message


def placeholder(generation_id: UUID) -> generation_pb2.Generation:
    """What a replayed request is told of a generation that is gone by now."""
    return generation_pb2.Generation(
        id=str(generation_id), status=generation_pb2.GENERATION_STATUS_PENDING
    )


def _medium(medium: Media, link: Link) -> generation_pb2.Media:
    return generation_pb2.Media(
        object_id=str(medium.object_id),
        url=link.url,
        thumbnail_url=link.thumbnail_url,
        has_thumbnail=link.has_thumbnail,
        content_type=medium.content_type,
        size_bytes=medium.size_bytes,
        width=link.width or medium.width,
        height=link.height or medium.height,
        duration=seconds(link.duration_seconds or medium.duration_seconds),
    )


def _notice(code: str | None, message: str | None) -> generation_pb2.Notice | None:
    if code is None:
        return None
    return generation_pb2.Notice(code=code, message=message or FAILURES.get(code, ""))


def _estimate(row: Generation) -> datetime | None:
    """By the share of the work done so far; not before a tenth of it is."""
    if row.stage != "generating" or row.started_at is None or row.progress_percent < 10:
        return None
    return row.started_at + (row.updated_at - row.started_at) * (100 / row.progress_percent)

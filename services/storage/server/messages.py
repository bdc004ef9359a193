"""Messages of the storage protos ⇄ our dataclasses."""

from datetime import UTC, datetime
from typing import Final

from reelgate.common.v1 import media_pb2, run_pb2
from reelgate.storage.v1 import storage_pb2
from services.kernel.errors import InvalidArgument
from services.kernel.ids import parse_id
from services.storage.objects import (
    Links,
    MediaKind,
    Run,
    Slot,
    StoredObject,
    Tier,
    input_slot,
    work_slot,
)

_TIERS: Final = {Tier.S3: storage_pb2.TIER_S3, Tier.LOCAL: storage_pb2.TIER_LOCAL}
TIER_OF: Final = {value: tier for tier, value in _TIERS.items()}
_MEDIA: Final = {
    media_pb2.MEDIA_TYPE_UNSPECIFIED: MediaKind.ANY,
    media_pb2.MEDIA_TYPE_VIDEO: MediaKind.VIDEO,
    media_pb2.MEDIA_TYPE_IMAGE: MediaKind.IMAGE,
}


def slot_of(request: storage_pb2.IngestRequest | storage_pb2.UploadHeader) -> Slot:
    """The slot that a request or the header of an upload is about. Raises InvalidArgument."""
    owner_id = parse_id(request.owner_id, "owner_id")
    media = _MEDIA.get(request.media_type)
    if media is None:
        raise InvalidArgument("This media type is not known.", field="media_type")
    if isinstance(request, storage_pb2.UploadHeader) and not request.HasField("run"):
        return input_slot(owner_id, media)
    if request.index < 0:
        raise InvalidArgument("The index can not be negative.", field="index")
    return work_slot(owner_id, run_of(request.run), request.index, media, _created(request))


def _created(request: storage_pb2.IngestRequest | storage_pb2.UploadHeader) -> datetime:
    try:
        created = request.generation_create_time.ToDatetime(UTC)
    except (ValueError, OverflowError):
        created = datetime.fromtimestamp(0, UTC)
    if created.year < 2000:
        raise InvalidArgument(
            "Say when the generation was created.", field="generation_create_time"
        )
    return created


def run_of(run: run_pb2.Run) -> Run:
    """The run. Raises InvalidArgument."""
    if run.number < 0:
        raise InvalidArgument("The run can not be negative.", field="run.number")
    return Run(parse_id(run.generation_id, "run.generation_id"), run.number, run.lease_token)


def object_message(kept: StoredObject) -> storage_pb2.StoredObject:
    """The object as callers see it."""
    message = storage_pb2.StoredObject(
        id=str(kept.id),
        owner_id=str(kept.owner_id),
        generation_id=str(kept.generation_id or ""),
        run=kept.run,
        index=kept.media_index,
        tier=_TIERS[kept.tier],
        size_bytes=kept.size_bytes,
        content_type=kept.content_type,
        sha256=kept.sha256,
        width=kept.width,
        height=kept.height,
    )
    if kept.duration_ms:
        message.duration.FromMilliseconds(kept.duration_ms)
    message.create_time.FromDatetime(kept.created_at)
    return message


def links_message(links: Links) -> storage_pb2.ObjectUrl:
    """How to reach an object, and what a page wants to know of it before its bytes are there."""
    kept = links.object
    message = storage_pb2.ObjectUrl(
        object_id=str(kept.id),
        url=links.link.url,
        thumbnail_url=links.thumbnail.url,
        has_thumbnail=kept.thumbnail_bytes > 0,
        width=kept.width,
        height=kept.height,
    )
    if links.link.expires_at is not None:
        message.expire_time.FromDatetime(links.link.expires_at)
    if kept.duration_ms:
        message.duration.FromMilliseconds(kept.duration_ms)
    return message

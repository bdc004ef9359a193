"""Messages of the gateway → the JSON of generations, people and models."""

from typing import Any, Final, cast

from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import JsonValue

from reelgate.common.v1 import media_pb2
from reelgate.gateway.v1 import generation_pb2, identity_pb2, model_pb2
from services.frontend_bff.schemas import answers, people_answers
from services.frontend_bff.schemas.values import (
    MediaType,
    Orientation,
    Role,
    Stage,
    Status,
    StorageType,
)

MEDIA_PATH: Final = "/api/v1/sora/media/"

_STATUSES: Final = generation_pb2.GenerationStatus
_STAGES: Final = generation_pb2.GenerationStage
_TIERS: Final = generation_pb2.StorageType
_MEDIA: Final = media_pb2.MediaType


def _lower(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower()


_STATUS: Final = {
    number: cast("Status", _lower(name, "GENERATION_STATUS_")) for name, number in _STATUSES.items()
}
_STAGE: Final = {
    number: cast("Stage", _lower(name, "GENERATION_STAGE_"))
    for name, number in _STAGES.items()
    if number
}
_STORAGE: Final = {
    number: cast("StorageType", _lower(name, "STORAGE_TYPE_") if number else "none")
    for name, number in _TIERS.items()
}
_MEDIA_TYPE: Final = {
    number: cast("MediaType", _lower(name, "MEDIA_TYPE_")) for name, number in _MEDIA.items()
}

# What requests carry.
STATUS_NUMBER: Final = {name: number for number, name in _STATUS.items()}
STORAGE_NUMBER: Final = {name: number for number, name in _STORAGE.items() if number}
MEDIA_TYPE_NUMBER: Final = {name: number for number, name in _MEDIA_TYPE.items()}
ANY_MEDIA_TYPE: Final = media_pb2.MEDIA_TYPE_UNSPECIFIED


def generation(message: generation_pb2.Generation) -> answers.Generation:
    """The record as 4-http-api has it; media without a link of their own get one of the media route."""
    media = [_media(one) for one in message.media]
    first = media[0] if media else None
    asked_seconds = _seconds(message, "duration")
    return {
        "id": message.id,
        "run": message.run,
        "rev": message.rev,
        "model": message.model,
        "prompt": message.prompt,
        "media_type": _MEDIA_TYPE[message.media_type],
        "orientation": cast("Orientation | None", message.orientation or None),
        "input_urls": list(message.input_urls),
        "parameters": struct(message.parameters),
        "status": _STATUS[message.status],
        "progress_percent": message.progress_percent,
        "stage": _STAGE.get(message.stage),
        "media_url": first["url"] if first else None,
        "media_urls": [one["url"] for one in media],
        "thumbnail_url": first["thumbnail_url"] if first else None,
        "media": media,
        "width": first["width"] if first else None,
        "height": first["height"] if first else None,
        "duration_seconds": (first and first["duration_seconds"]) or asked_seconds,
        "file_size_bytes": message.size_bytes or None,
        "storage_type": _STORAGE[message.storage_type],
        "error": _notice(message, "error"),
        "notice": _notice(message, "notice"),
        "retry_count": message.retry_count,
        "cached": message.cached,
        "credits": message.credits,
        "api_key_id": message.api_key_id or None,
        "created_at": message.create_time.ToJsonString(),
        "updated_at": message.update_time.ToJsonString(),
        "started_at": _time(message, "start_time"),
        "completed_at": _time(message, "end_time"),
        "estimated_completion_at": _time(message, "estimated_end_time"),
        "expires_at": _time(message, "expire_time"),
        "expired": message.expired,
        "can_save": message.can_save,
        "can_retry": message.can_retry,
    }


def generated(message: generation_pb2.Generation) -> answers.Generated:
    """The short answer to what starts a work."""
    return {"generation_id": message.id, "status": _STATUS[message.status]}


def user(message: identity_pb2.User) -> answers.User:
    """A person, without what only administrators see."""
    return {
        "id": message.id,
        "email": message.email,
        "role": _role(message),
        "created_at": message.create_time.ToJsonString(),
    }


def account(message: identity_pb2.User) -> people_answers.Account:
    """A person, as administrators see him."""
    return {
        "id": message.id,
        "email": message.email,
        "role": _role(message),
        "group_id": message.group_id or None,
        "disabled": message.disabled,
        "created_at": message.create_time.ToJsonString(),
    }


def group(message: identity_pb2.Group) -> people_answers.NamedGroup:
    """A group without its limit."""
    return {
        "id": message.id,
        "name": message.name,
        "created_at": message.create_time.ToJsonString(),
    }


def model(message: model_pb2.Model) -> answers.Model:
    """One entry of the catalogue."""
    shutdown = _time(message, "shutdown_time")
    return {
        "id": message.id,
        "family": message.family,
        "name": message.name,
        "type": _MEDIA_TYPE[message.media_type],
        "orientation": cast("Orientation | None", message.orientation or None),
        "duration_seconds": _seconds(message, "duration"),
        "parameters": struct(message.parameters_schema),
        "credits": message.credits,
        "shutdown_date": shutdown and shutdown[:10],
    }


def struct(message: Struct) -> dict[str, JsonValue]:
    """A Struct as JSON; whole numbers lose the ".0" that doubles give them."""
    return {key: _value(value) for key, value in message.fields.items()}


def _role(message: identity_pb2.User) -> Role:
    return "admin" if message.role == identity_pb2.ROLE_ADMIN else "user"


def _value(value: Value) -> JsonValue:
    match value.WhichOneof("kind"):
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() else number
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "struct_value":
            return struct(value.struct_value)
        case "list_value":
            return [_value(item) for item in value.list_value.values]
        case _:
            return None


def _media(message: generation_pb2.Media) -> answers.Media:
    return {
        "object_id": message.object_id,
        "url": message.url or MEDIA_PATH + message.object_id,
        "thumbnail_url": _thumbnail_url(message),
        "content_type": message.content_type,
        "size_bytes": message.size_bytes or None,
        "width": message.width or None,
        "height": message.height or None,
        "duration_seconds": _seconds(message, "duration"),
    }


def _thumbnail_url(message: generation_pb2.Media) -> str | None:
    if message.has_thumbnail and not message.thumbnail_url:
        return f"{MEDIA_PATH}{message.object_id}?thumbnail=1"
    return message.thumbnail_url or None


def _notice(message: generation_pb2.Generation, name: str) -> answers.Notice | None:
    if not message.HasField(cast("Any", name)):
        return None
    notice: generation_pb2.Notice = getattr(message, name)
    return {"code": notice.code, "message": notice.message}


def _time(message: generation_pb2.Generation | model_pb2.Model, name: str) -> str | None:
    if not message.HasField(cast("Any", name)):
        return None
    moment: Timestamp = getattr(message, name)
    return moment.ToJsonString()


def _seconds(
    message: generation_pb2.Generation | generation_pb2.Media | model_pb2.Model, name: str
) -> float | None:
    if not message.HasField(cast("Any", name)):
        return None
    length: Duration = getattr(message, name)
    return length.ToMilliseconds() / 1000

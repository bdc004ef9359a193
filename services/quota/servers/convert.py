"""What several servicers convert."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from services.kernel.errors import InvalidArgument
from services.kernel.ids import parse_id

Context = grpc.aio.ServicerContext[Any, Any]


def optional_id(text: str, field: str) -> UUID | None:
    """The id, or None for an empty text. Raises InvalidArgument."""
    return parse_id(text, field) if text else None


def moment(message: Timestamp, field: str) -> datetime:
    """A moment in UTC. Raises InvalidArgument for one that no calendar has."""
    try:
        return message.ToDatetime(UTC)
    except (ValueError, OverflowError):
        raise InvalidArgument(f"{field} is no moment.", field=field) from None

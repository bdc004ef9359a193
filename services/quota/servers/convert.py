"""What several servicers convert."""

from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from reelgate.quota.v1 import credit_pb2
from services.kernel.errors import InvalidArgument
from services.kernel.ids import parse_id
from services.quota.credits import Credits

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


def day(text: str, field: str) -> date:
    """A day of the calendar, as 2026-01-31. Raises InvalidArgument for any other spelling."""
    try:
        found = date.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.isoformat() != text:
        raise InvalidArgument(f"{field} must be a day like 2026-01-31.", field=field)
    return found


def credits_message(credits_: Credits) -> credit_pb2.Credits:
    """A user's credits."""
    return credit_pb2.Credits(
        user_id=str(credits_.user_id),
        balance=credits_.balance,
        held=credits_.held,
        total_earned=credits_.total_earned,
        total_spent=credits_.total_spent,
    )

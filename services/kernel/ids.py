"""Identifiers: UUIDv7 for what is made, checked when they come from outside."""

from uuid import UUID

from uuid_utils.compat import uuid7

from services.kernel.errors import InvalidArgument


def new_id() -> UUID:
    """A UUIDv7: sorts by the time it was made."""
    return uuid7()


def parse_id(text: str, field: str) -> UUID:
    """The UUID that `text` spells in its one canonical form. Raises InvalidArgument that names `field`."""
    try:
        value = UUID(text)
    except ValueError:
        value = None
    if value is None or str(value) != text.lower():
        raise InvalidArgument(f"{field} is not an id.", field=field)
    return value

"""People: who they are, the groups they share limits in, the keys of their programs. Knows no database and no wire."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from services.kernel.errors import InvalidArgument

Role = Literal["user", "admin"]

MAX_EMAIL_CHARACTERS: Final = 254
MAX_NAME_CHARACTERS: Final = 100


@dataclass(frozen=True, slots=True)
class User:
    """A person, without his password."""

    id: UUID
    email: str
    role: Role
    group_id: UUID | None
    disabled: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Group:
    """Users that share limits."""

    id: UUID
    name: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class UserChange:
    """What is to become different; None stays. `group_id` counts only where `moves` is said."""

    role: Role | None = None
    disabled: bool | None = None
    password: str | None = field(default=None, repr=False)
    moves: bool = False
    group_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret. No models means all; a limit of 0 means none of its own."""

    id: UUID
    name: str
    hint: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    models: Sequence[str]
    concurrency_limit: int
    requests_per_minute: int


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """What somebody wants of a key."""

    name: str
    expires_at: datetime | None = None
    models: Sequence[str] = ()
    concurrency_limit: int = 0
    requests_per_minute: int = 0


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A key that was shown and is good, and whose it is."""

    id: UUID
    models: Sequence[str]
    concurrency_limit: int
    requests_per_minute: int
    owner: User


def email_of(text: str) -> str:
    """The address in the one form that is kept. Raises InvalidArgument (field `email`)."""
    email = text if len(text) > 4 * MAX_EMAIL_CHARACTERS else unicodedata.normalize("NFKC", text)
    email = email.strip().lower()
    name, _, host = email.partition("@")
    if (
        len(email) > MAX_EMAIL_CHARACTERS
        or not (name and host)
        or "@" in host
        or not email.isprintable()
        or " " in email
    ):
        raise InvalidArgument("This is not an e-mail address.", field="email")
    return email


def name_of(text: str) -> str:
    """A name for a person to read. Raises InvalidArgument (field `name`)."""
    name = text.strip()
    if not 1 <= len(name) <= MAX_NAME_CHARACTERS or not name.isprintable():
        message = f"A name has 1 to {MAX_NAME_CHARACTERS} characters, all on one line."
        raise InvalidArgument(message, field="name")
    return name

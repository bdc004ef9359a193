"""What administrators read about people."""

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from services.frontend_bff.schemas.quota_answers import Holding
from services.frontend_bff.schemas.values import Id, QuotaLimit, Role, Timestamp


class Account(TypedDict):
    """A person, as the gateway knows him."""

    id: Id
    email: str
    role: Role
    group_id: Id | None
    disabled: Annotated[bool, Field(description="May not log in")]
    created_at: Timestamp


class AdminUser(Account, Holding):
    """A person with what he has and may have."""


class AdminUserPage(TypedDict):
    """A page of people, by id."""

    items: list[AdminUser]
    next_page_token: Annotated[str | None, Field(description="null on the last page")]


class NamedGroup(TypedDict):
    """A group, as the gateway knows it."""

    id: Id
    name: str
    created_at: Timestamp


class Group(NamedGroup):
    """People that share a limit: each of them has it."""

    quota_limit_bytes: QuotaLimit

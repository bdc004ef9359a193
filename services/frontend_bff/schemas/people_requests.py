"""What administrators send about people.

Lengths and forms of addresses, names and passwords are the gateway's to judge.
"""

from typing import Annotated

from pydantic import Field

from services.frontend_bff.schemas.quota_requests import PageQuery
from services.frontend_bff.schemas.requests import Body, Credentials, Texts
from services.frontend_bff.schemas.values import Id, QuotaLimit, Role, Text, never_null


class UserPath(Texts):
    """Names a user."""

    id: Id


class GroupPath(Texts):
    """Names a group."""

    id: Id


class UsersQuery(PageQuery):
    """Narrows the list."""

    q: Annotated[Text, Field(max_length=254, description="A part of the e-mail address")] = ""


class UserForm(Credentials):
    """A new user."""

    role: Role = "user"
    group_id: Id | None = None
    quota_limit_bytes: QuotaLimit = 0


class UserChange(Body):
    """What is to become different about a user; what is absent stays."""

    role: Annotated[Role | None, never_null] = None
    group_id: Annotated[Id | None, Field(description="null: out of his group")] = None
    disabled: Annotated[
        bool | None, never_null, Field(description="May not log in; ends his sessions")
    ] = None
    password: Annotated[
        Text | None, never_null, Field(description="A new one; ends his sessions")
    ] = None
    quota_limit_bytes: Annotated[QuotaLimit | None, never_null] = None

    @property
    def changes_account(self) -> bool:
        """It has more than a limit."""
        return bool(self.model_fields_set - {"quota_limit_bytes"})


class GroupForm(Body):
    """A new group."""

    name: Annotated[Text, Field(description="Unique")]
    quota_limit_bytes: QuotaLimit = 0


class GroupChange(Body):
    """What is to become different about a group; what is absent stays."""

    name: Annotated[Text | None, never_null, Field(description="Unique")] = None
    quota_limit_bytes: Annotated[QuotaLimit | None, never_null] = None

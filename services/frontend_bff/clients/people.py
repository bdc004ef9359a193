"""The gateway's IdentityService: users and groups, for administrators."""

from typing import Final

import grpc

from reelgate.gateway.v1 import identity_pb2, identity_pb2_grpc
from services.frontend_bff.clients import records
from services.frontend_bff.schemas.people_answers import Account, NamedGroup
from services.frontend_bff.schemas.people_requests import UserChange, UserForm, UsersQuery
from services.frontend_bff.schemas.values import Role
from services.kernel.errors import InvalidArgument
from services.kernel.status import rpc_errors

_ROLE_NUMBER: Final[dict[Role, identity_pb2.Role.ValueType]] = {
    "user": identity_pb2.ROLE_USER,
    "admin": identity_pb2.ROLE_ADMIN,
}


class PeopleClient:
    """Users and groups. Every method raises what the gateway raised: PermissionDenied to all but administrators."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: identity_pb2_grpc.IdentityServiceAsyncStub = (
            identity_pb2_grpc.IdentityServiceStub(channel)
        )

    async def users(self, query: UsersQuery) -> tuple[list[Account], str | None]:
        """A page by id, and the token of the next one (None: this is the last)."""
        request = identity_pb2.ListUsersRequest(
            query=query.q, page_size=query.page_size, page_token=query.page_token
        )
        try:
            with rpc_errors():
                page = await self._stub.ListUsers(request)
        except InvalidArgument as error:
            error.field = "q" if error.field == "query" else error.field
            raise
        return [records.account(one) for one in page.users], page.next_page_token or None

    async def user(self, user_id: str) -> Account:
        """One user."""
        request = identity_pb2.GetUserRequest(user_id=user_id)
        with rpc_errors():
            return records.account((await self._stub.GetUser(request)).user)

    async def create_user(self, form: UserForm) -> Account:
        """Makes one; his limit is quota's."""
        request = identity_pb2.CreateUserRequest(
            email=form.email,
            password=form.password,
            role=_ROLE_NUMBER[form.role],
            group_id=form.group_id or "",
        )
        with rpc_errors():
            return records.account((await self._stub.CreateUser(request)).user)

    async def update_user(self, user_id: str, change: UserChange) -> Account:
        """Changes what is given but for the limit, which is quota's; all of it or nothing."""
        request = identity_pb2.UpdateUserRequest(
            user_id=user_id, disabled=change.disabled, password=change.password
        )
        if change.role is not None:
            request.role = _ROLE_NUMBER[change.role]
        if "group_id" in change.model_fields_set:
            request.group_id = change.group_id or ""
        with rpc_errors():
            return records.account((await self._stub.UpdateUser(request)).user)

    async def groups(self) -> list[NamedGroup]:
        """All, by name."""
        with rpc_errors():
            answer = await self._stub.ListGroups(identity_pb2.ListGroupsRequest())
        return [records.group(one) for one in answer.groups]

    async def group(self, group_id: str) -> NamedGroup:
        """One group."""
        request = identity_pb2.GetGroupRequest(group_id=group_id)
        with rpc_errors():
            return records.group((await self._stub.GetGroup(request)).group)

    async def create_group(self, name: str) -> NamedGroup:
        """Makes one."""
        with rpc_errors():
            answer = await self._stub.CreateGroup(identity_pb2.CreateGroupRequest(name=name))
        return records.group(answer.group)

    async def rename_group(self, group_id: str, name: str) -> NamedGroup:
        """Gives it another name."""
        request = identity_pb2.UpdateGroupRequest(group_id=group_id, name=name)
        with rpc_errors():
            return records.group((await self._stub.UpdateGroup(request)).group)

    async def delete_group(self, group_id: str) -> None:
        """Removes it; its users then have none."""
        request = identity_pb2.DeleteGroupRequest(group_id=group_id)
        with rpc_errors():
            await self._stub.DeleteGroup(request)

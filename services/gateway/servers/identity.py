"""`IdentityService`."""
# Names, arguments and meaning of these methods are the contract's.
# ruff: noqa: D102

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

import grpc
from google.protobuf.duration_pb2 import Duration

from reelgate.gateway.v1 import identity_pb2, identity_pb2_grpc
from services.gateway.identity import Identity, SignedIn
from services.gateway.people import Group, Role, User, UserChange
from services.gateway.servers.convert import timestamp
from services.kernel.context import caller, require_admin
from services.kernel.errors import InvalidArgument, Unimplemented
from services.kernel.ids import parse_id

_SERVICE: Final = "reelgate.gateway.v1.IdentityService"
PUBLIC_METHODS: Final = tuple(
    f"/{_SERVICE}/{name}" for name in ("Register", "Login", "Refresh", "Logout", "ExchangeApiKey")
)

_MAX_PAGE: Final = 100
_DEFAULT_PAGE: Final = 20
_ROLES: Final[Mapping[int, Role]] = {
    identity_pb2.ROLE_UNSPECIFIED: "user",
    identity_pb2.ROLE_USER: "user",
    identity_pb2.ROLE_ADMIN: "admin",
}
_ROLE_NUMBERS: Final[Mapping[Role, identity_pb2.Role.ValueType]] = {
    "user": identity_pb2.ROLE_USER,
    "admin": identity_pb2.ROLE_ADMIN,
}


def add_to(server: grpc.aio.Server, identity: Identity) -> list[str]:
    """Adds the service; returns its name."""
    servicer = IdentityServicer(identity)
    identity_pb2_grpc.add_IdentityServiceServicer_to_server(servicer, server)
    return [_SERVICE]


class IdentityServicer(identity_pb2_grpc.IdentityServiceServicer):
    """Users, groups and sessions, over gRPC."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    async def Register(self, request: Any, context: Any) -> Any:
        user = await self._identity.register(request.email, request.password)
        return identity_pb2.RegisterResponse(user=_user(user))

    async def Login(self, request: Any, context: Any) -> Any:
        signed_in = await self._identity.login(request.email, request.password)
        return identity_pb2.LoginResponse(user=_user(signed_in.user), tokens=_tokens(signed_in))

    async def Refresh(self, request: Any, context: Any) -> Any:
        signed_in = await self._identity.refresh(request.refresh_token)
        return identity_pb2.RefreshResponse(user=_user(signed_in.user), tokens=_tokens(signed_in))

    async def Logout(self, request: Any, context: Any) -> Any:
        await self._identity.logout(request.refresh_token)
        return identity_pb2.LogoutResponse()

    async def GetMe(self, request: Any, context: Any) -> Any:
        user = await self._identity.me(UUID(caller().subject))
        return identity_pb2.GetMeResponse(user=_user(user))

    async def ExchangeApiKey(self, request: Any, context: Any) -> Any:
        traded = await self._identity.exchange_api_key(request.api_key)
        return identity_pb2.ExchangeApiKeyResponse(
            access_token=traded.access_token,
            access_lifetime=Duration(seconds=traded.access_seconds),
            user=_user(traded.key.owner),
            api_key_id=str(traded.key.id),
        )

    async def CreateUser(self, request: Any, context: Any) -> Any:
        require_admin()
        user = await self._identity.create_user(
            request.email, request.password, _role(request.role), _group_id(request.group_id)
        )
        return identity_pb2.CreateUserResponse(user=_user(user))

    async def GetUser(self, request: Any, context: Any) -> Any:
        require_admin()
        user = await self._identity.user(parse_id(request.user_id, "user_id"))
        return identity_pb2.GetUserResponse(user=_user(user))

    async def ListUsers(self, request: Any, context: Any) -> Any:
        require_admin()
        size = request.page_size or _DEFAULT_PAGE
        if not 1 <= size <= _MAX_PAGE:
            raise InvalidArgument(f"page_size must be 1 to {_MAX_PAGE}.", field="page_size")
        after = parse_id(request.page_token, "page_token") if request.page_token else None
        users, last = await self._identity.users(request.query, after=after, page_size=size)
        return identity_pb2.ListUsersResponse(
            users=[_user(user) for user in users],
            next_page_token="" if last is None else str(last),
        )

    async def UpdateUser(self, request: Any, context: Any) -> Any:
        administrator = require_admin()
        change = UserChange(
            role=_role(request.role) if request.HasField("role") else None,
            disabled=request.disabled if request.HasField("disabled") else None,
            password=request.password if request.HasField("password") else None,
            moves=request.HasField("group_id"),
            group_id=_group_id(request.group_id),
        )
        user = await self._identity.update_user(
            UUID(administrator.subject), parse_id(request.user_id, "user_id"), change
        )
        return identity_pb2.UpdateUserResponse(user=_user(user))

    async def DeleteUser(self, request: Any, context: Any) -> Any:
        require_admin()
        message = "Removing a user is not available in this version yet. Disable him instead."
        raise Unimplemented(message)

    async def CreateGroup(self, request: Any, context: Any) -> Any:
        require_admin()
        group = await self._identity.create_group(request.name)
        return identity_pb2.CreateGroupResponse(group=_group(group))

    async def GetGroup(self, request: Any, context: Any) -> Any:
        require_admin()
        group = await self._identity.group(parse_id(request.group_id, "group_id"))
        return identity_pb2.GetGroupResponse(group=_group(group))

    async def ListGroups(self, request: Any, context: Any) -> Any:
        require_admin()
        groups = await self._identity.groups()
        return identity_pb2.ListGroupsResponse(groups=[_group(group) for group in groups])

    async def UpdateGroup(self, request: Any, context: Any) -> Any:
        require_admin()
        group_id = parse_id(request.group_id, "group_id")
        group = await self._identity.rename_group(group_id, request.name)
        return identity_pb2.UpdateGroupResponse(group=_group(group))

    async def DeleteGroup(self, request: Any, context: Any) -> Any:
        require_admin()
        await self._identity.remove_group(parse_id(request.group_id, "group_id"))
        return identity_pb2.DeleteGroupResponse()


def _role(number: int) -> Role:
    role = _ROLES.get(number)
    if role is None:
        raise InvalidArgument(f"Unknown role {number}.", field="role")
    return role


def _group_id(text: str) -> UUID | None:
    return parse_id(text, "group_id") if text else None


def _user(user: User) -> identity_pb2.User:
    return identity_pb2.User(
        id=str(user.id),
        email=user.email,
        role=_ROLE_NUMBERS[user.role],
        group_id="" if user.group_id is None else str(user.group_id),
        disabled=user.disabled,
        create_time=timestamp(user.created_at),
    )


def _group(group: Group) -> identity_pb2.Group:
    return identity_pb2.Group(
        id=str(group.id), name=group.name, create_time=timestamp(group.created_at)
    )


def _tokens(signed_in: SignedIn) -> identity_pb2.Tokens:
    return identity_pb2.Tokens(
        access_token=signed_in.access_token,
        access_lifetime=Duration(seconds=signed_in.access_seconds),
        refresh_token=signed_in.refresh_token,
        refresh_lifetime=Duration(seconds=signed_in.refresh_seconds),
    )

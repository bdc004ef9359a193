"""`ApiKeyService`."""
# Names, arguments and meaning of these methods are the contract's.
# ruff: noqa: D102

from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import grpc

from reelgate.gateway.v1 import api_key_pb2, api_key_pb2_grpc
from services.gateway.api_keys import ApiKeys
from services.gateway.identity import Identity
from services.gateway.people import ApiKey, NewApiKey
from services.gateway.servers.convert import timestamp
from services.kernel.context import caller
from services.kernel.errors import InvalidArgument, PermissionDenied
from services.kernel.ids import parse_id

_SERVICE: Final = "reelgate.gateway.v1.ApiKeyService"


def add_to(server: grpc.aio.Server, identity: Identity) -> list[str]:
    """Adds the service; returns its name."""
    servicer = ApiKeyServicer(identity.api_keys)
    api_key_pb2_grpc.add_ApiKeyServiceServicer_to_server(servicer, server)
    return [_SERVICE]


class ApiKeyServicer(api_key_pb2_grpc.ApiKeyServiceServicer):
    """The caller's keys, over gRPC."""

    def __init__(self, api_keys: ApiKeys) -> None:
        self._api_keys = api_keys

    async def CreateApiKey(self, request: Any, context: Any) -> Any:
        wish = NewApiKey(
            name=request.name,
            expires_at=_expiry(request),
            models=tuple(request.models),
            concurrency_limit=request.concurrency_limit,
            requests_per_minute=request.requests_per_minute,
        )
        key, secret = await self._api_keys.create(_person(), wish)
        return api_key_pb2.CreateApiKeyResponse(api_key=_message(key), secret=secret)

    async def ListApiKeys(self, request: Any, context: Any) -> Any:
        keys = await self._api_keys.list(UUID(caller().subject))
        return api_key_pb2.ListApiKeysResponse(api_keys=[_message(key) for key in keys])

    async def RevokeApiKey(self, request: Any, context: Any) -> Any:
        await self._api_keys.revoke(_person(), parse_id(request.api_key_id, "api_key_id"))
        return api_key_pb2.RevokeApiKeyResponse()


def _person() -> UUID:
    """The caller, who is there himself: a stolen key must not make others that outlive it."""
    who = caller()
    if who.api_key_id:
        raise PermissionDenied("An API key can not change API keys. Log in.", reason="NEEDS_LOGIN")
    return UUID(who.subject)


def _expiry(request: Any) -> datetime | None:
    if not request.HasField("expire_time"):
        return None
    try:
        expires_at: datetime = request.expire_time.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise InvalidArgument("This is not a time.", field="expire_time") from None
    return expires_at


def _message(key: ApiKey) -> api_key_pb2.ApiKey:
    return api_key_pb2.ApiKey(
        id=str(key.id),
        name=key.name,
        hint=key.hint,
        create_time=timestamp(key.created_at),
        expire_time=timestamp(key.expires_at),
        last_use_time=timestamp(key.last_used_at),
        models=key.models,
        concurrency_limit=key.concurrency_limit,
        requests_per_minute=key.requests_per_minute,
    )

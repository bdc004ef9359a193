"""The gateway's IdentityService: who somebody is and how he shows it."""

from dataclasses import dataclass, field

import grpc

from reelgate.gateway.v1 import identity_pb2, identity_pb2_grpc
from services.frontend_bff.clients import records
from services.frontend_bff.schemas.answers import User
from services.kernel.status import rpc_errors


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session: who it is, and both tokens with the seconds they live."""

    user: User
    access_token: str = field(repr=False)
    access_seconds: int
    refresh_token: str = field(repr=False)
    refresh_seconds: int


@dataclass(frozen=True, slots=True)
class KeyToken:
    """A token that an API key was traded for, and the seconds it lives."""

    token: str = field(repr=False)
    seconds: int


class IdentityClient:
    """Sessions and keys. Every method raises what the gateway raised."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: identity_pb2_grpc.IdentityServiceAsyncStub = (
            identity_pb2_grpc.IdentityServiceStub(channel)
        )

    async def register(self, email: str, password: str) -> User:
        """Makes an account for oneself."""
        request = identity_pb2.RegisterRequest(email=email, password=password)
        with rpc_errors():
            return records.user((await self._stub.Register(request)).user)

    async def login(self, email: str, password: str) -> SignedIn:
        """Trades an e-mail address and a password for a session."""
        request = identity_pb2.LoginRequest(email=email, password=password)
        with rpc_errors():
            return _signed_in(await self._stub.Login(request))

    async def refresh(self, refresh_token: str) -> SignedIn:
        """Trades a refresh token for new tokens; the old one dies."""
        request = identity_pb2.RefreshRequest(refresh_token=refresh_token)
        with rpc_errors():
            return _signed_in(await self._stub.Refresh(request))

    async def logout(self, refresh_token: str) -> None:
        """Ends the session of a refresh token."""
        with rpc_errors():
            await self._stub.Logout(identity_pb2.LogoutRequest(refresh_token=refresh_token))

    async def me(self) -> User:
        """The caller."""
        with rpc_errors():
            return records.user((await self._stub.GetMe(identity_pb2.GetMeRequest())).user)

    async def exchange_api_key(self, api_key: str) -> KeyToken:
        """Trades an API key for a token of its owner."""
        with rpc_errors():
            answer = await self._stub.ExchangeApiKey(
                identity_pb2.ExchangeApiKeyRequest(api_key=api_key)
            )
        return KeyToken(answer.access_token, answer.access_lifetime.seconds)


def _signed_in(answer: identity_pb2.LoginResponse | identity_pb2.RefreshResponse) -> SignedIn:
    tokens = answer.tokens
    return SignedIn(
        records.user(answer.user),
        tokens.access_token,
        tokens.access_lifetime.seconds,
        tokens.refresh_token,
        tokens.refresh_lifetime.seconds,
    )

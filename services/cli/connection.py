"""A connection to the gateway, to storage or to quota, as an administrator."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Final, Literal
from uuid import UUID

import grpc

from deploy.local.ready import Ready
from reelgate.gateway.v1 import identity_pb2, identity_pb2_grpc
from services.cli.settings import CliSettings
from services.kernel import context
from services.kernel.errors import PermissionDenied, Unavailable
from services.kernel.grpc_client import make_channel
from services.kernel.status import rpc_errors
from services.kernel.tokens import Signer

# Whoever holds the signing key can be anyone; this says that it was nobody of the users.
_OPERATOR: Final = str(UUID(int=0))
_TOKEN_SECONDS: Final = 120
Service = Literal["storage", "quota"]


class NotReachable(Exception):
    """The message says what is missing and how to give it."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the gateway is and how to show who one is: by the signing key, else by a log-in."""

    address: str
    signing_key: str = field(repr=False)
    email: str
    password: str = field(repr=False)


@asynccontextmanager
async def as_administrator(settings: CliSettings) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to the gateway whose calls carry an administrator's token.

    Raises NotReachable and what the log-in raises.
    """
    place = _gateway(settings)
    with _named("the gateway", place.address):
        async with make_channel(place.address) as channel:
            if place.signing_key:
                token = _signed(place.signing_key, "gateway")
            else:
                token = (await _log_in(place, channel)).tokens.access_token
            context.bearer_token.set(token)
            yield channel


@asynccontextmanager
async def service_as_administrator(
    settings: CliSettings, service: Service
) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to a service behind the gateway whose calls carry an administrator's token.

    Raises NotReachable, PermissionDenied for a log-in of somebody else, and what the log-in raises.
    """
    address, place = _behind_gateway(settings, service)
    context.bearer_token.set(await _token_for(service, place))
    with _named(service, address):
        async with make_channel(address) as channel:
            yield channel


@contextmanager
def _named(service: str, address: str) -> Iterator[None]:
    """Says which of the services it is that is not there."""
    try:
        yield
    except Unavailable as error:
        if error.reason != Unavailable.default_reason:
            raise
        raise NotReachable(f"{service} at {address}: {error}") from None


async def _token_for(service: Service, place: _Place) -> str:
    if place.signing_key:
        return _signed(place.signing_key, service)
    with _named("the gateway", place.address):
        async with make_channel(place.address) as channel:
            signed_in = await _log_in(place, channel)
    if signed_in.user.role != identity_pb2.ROLE_ADMIN:
        raise PermissionDenied(
            f"{signed_in.user.email} is not an administrator: set REELGATE_EMAIL and REELGATE_PASSWORD of one."
        )
    return signed_in.tokens.access_token


def _signed(signing_key: str, audience: str) -> str:
    try:
        signer = Signer(signing_key)
    except ValueError as error:
        message = f"REELGATE_GATEWAY_SIGNING_KEY_FILE can not be used: {error}"
        raise NotReachable(message) from None
    return signer.sign(
        _OPERATOR, audience=(audience,), lifetime_seconds=_TOKEN_SECONDS, role="admin"
    )


async def _log_in(place: _Place, channel: grpc.aio.Channel) -> identity_pb2.LoginResponse:
    stub: identity_pb2_grpc.IdentityServiceAsyncStub = identity_pb2_grpc.IdentityServiceStub(
        channel
    )
    request = identity_pb2.LoginRequest(email=place.email, password=place.password)
    with rpc_errors():
        return await stub.Login(request)


def _gateway(settings: CliSettings) -> _Place:
    if settings.gateway_address is not None:
        return _told(settings, settings.gateway_address)
    return _of_stack(settings, _ready(settings))


def _behind_gateway(settings: CliSettings, service: Service) -> tuple[str, _Place]:
    """Its address, and where to get a token for it."""
    addresses = {"storage": settings.storage_address, "quota": settings.quota_address}
    variable = f"REELGATE_{service.upper()}_ADDRESS"
    if (address := addresses[service]) is not None:
        # A stack that happens to run here need not be the one that the service belongs to.
        gateway = settings.gateway_address or ""
        if not gateway and settings.signing_key_file is None:
            raise NotReachable(
                f"Say who you are at {variable}: set REELGATE_GATEWAY_ADDRESS with REELGATE_EMAIL and "
                "REELGATE_PASSWORD of an administrator, or REELGATE_GATEWAY_SIGNING_KEY_FILE to the file with the "
                "gateway's signing key."
            )
        return address, _told(settings, gateway)
    if settings.gateway_address is not None:
        raise NotReachable(
            f"Set {variable} to the host:port of the {service} service that belongs to "
            "REELGATE_GATEWAY_ADDRESS."
        )
    ready = _ready(settings)
    return ready.grpc[service], _of_stack(settings, ready)


def _told(settings: CliSettings, gateway: str) -> _Place:
    signing_key = _signing_key(settings)
    password = settings.password.get_secret_value()
    if not signing_key and not (settings.email and password):
        raise NotReachable(
            "Say who you are at REELGATE_GATEWAY_ADDRESS: set REELGATE_EMAIL and REELGATE_PASSWORD of an "
            "administrator, or REELGATE_GATEWAY_SIGNING_KEY_FILE to the file with the gateway's signing key."
        )
    return _Place(gateway, signing_key, settings.email, password)


def _of_stack(settings: CliSettings, ready: Ready) -> _Place:
    signing_key = _signing_key(settings)
    password = settings.password.get_secret_value()
    if not (settings.email and password):
        # The demo's password is for the stack it belongs to and for no other address.
        return _Place(ready.grpc["gateway"], signing_key, ready.email, ready.password)
    return _Place(ready.grpc["gateway"], signing_key, settings.email, password)


def _signing_key(settings: CliSettings) -> str:
    if settings.signing_key_file is None:
        return ""
    try:
        return settings.signing_key_file.read_text()
    except OSError as error:
        message = (
            f"REELGATE_GATEWAY_SIGNING_KEY_FILE: {settings.signing_key_file}: {error.strerror}"
        )
        raise NotReachable(message) from None


def _ready(settings: CliSettings) -> Ready:
    try:
        return Ready.read(settings.home)
    except FileNotFoundError:
        raise NotReachable(
            f"No stack is running in {settings.home}. Start it with `reelgate up`, set REELGATE_HOME to its "
            "directory, or set REELGATE_GATEWAY_ADDRESS (and REELGATE_STORAGE_ADDRESS or REELGATE_QUOTA_ADDRESS) to "
            "host:port."
        ) from None
    except (OSError, TypeError, KeyError, json.JSONDecodeError) as error:
        raise NotReachable(f"{settings.home}/ready.json can not be read: {error}") from None

"""A connection to the gateway as an administrator."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

import grpc

from deploy.local.ready import Ready
from reelgate.gateway.v1 import identity_pb2, identity_pb2_grpc
from services.cli.settings import CliSettings
from services.kernel import context
from services.kernel.grpc_client import make_channel
from services.kernel.status import rpc_errors
from services.kernel.tokens import Signer

# Whoever holds the signing key can be anyone; this says that it was nobody of the users.
_OPERATOR: Final = str(UUID(int=0))
_TOKEN_SECONDS: Final = 120


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
    """A channel whose calls carry an administrator's token. Raises NotReachable and what the log-in raises."""
    place = _find(settings)
    async with make_channel(place.address) as channel:
        context.bearer_token.set(await _token(place, channel))
        yield channel


async def _token(place: _Place, channel: grpc.aio.Channel) -> str:
    if place.signing_key:
        try:
            signer = Signer(place.signing_key)
        except ValueError as error:
            message = f"REELGATE_GATEWAY_SIGNING_KEY_FILE can not be used: {error}"
            raise NotReachable(message) from None
        return signer.sign(
            _OPERATOR, audience=("gateway",), lifetime_seconds=_TOKEN_SECONDS, role="admin"
        )
    stub = identity_pb2_grpc.IdentityServiceStub(channel)
    request = identity_pb2.LoginRequest(email=place.email, password=place.password)
    with rpc_errors():
        signed_in = await stub.Login(request)
    return signed_in.tokens.access_token


def _find(settings: CliSettings) -> _Place:
    signing_key = _signing_key(settings)
    password = settings.password.get_secret_value()
    if settings.gateway_address is not None:
        if not signing_key and not (settings.email and password):
            raise NotReachable(
                "Say who you are at REELGATE_GATEWAY_ADDRESS: set REELGATE_EMAIL and REELGATE_PASSWORD of an "
                "administrator, or REELGATE_GATEWAY_SIGNING_KEY_FILE to the file with the gateway's signing key."
            )
        return _Place(settings.gateway_address, signing_key, settings.email, password)
    ready = _ready(settings)
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
            "directory, or set REELGATE_GATEWAY_ADDRESS to the host:port of a gateway."
        ) from None
    except (OSError, TypeError, KeyError, json.JSONDecodeError) as error:
        raise NotReachable(f"{settings.home}/ready.json can not be read: {error}") from None

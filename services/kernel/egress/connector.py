"""The sessions of the client, and what their errors mean."""

from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from ssl import SSLContext
from typing import Any, Final

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

from services.kernel.egress.errors import EgressFailed, Failure
from services.kernel.egress.gate import Gate


@dataclass(slots=True)
class Attempt:
    """One request on its way: until it is connected, no byte of it can have been sent."""

    connected: bool = False


current_attempt: Final[ContextVar[Attempt | None]] = ContextVar("egress_attempt", default=None)


class _Handler(ResponseHandler):
    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        super().set_exception(exc, *cause)
        # Of what is wrong behind the head aiohttp (3.14) tells whoever waits for a head only: whoever reads the body
        # would wait for ever, since it has ended the read timeout as well.
        body = self._payload
        if body is not None and not body.is_eof() and body.exception() is None:
            body.set_exception(exc, *cause)


class _Connector(aiohttp.TCPConnector):
    allowed_protocol_schema_set = frozenset({"http", "https"})

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        handler: type[ResponseHandler] = _Handler
        self._factory = partial(handler, loop=self._loop)

    async def connect(
        self, req: ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        connection = await super().connect(req, traces, timeout)
        if (attempt := current_attempt.get()) is not None:
            attempt.connected = True
        return connection


def vetted_session(
    gate: Gate,
    *,
    tls: SSLContext | None,
    connections: int,
    keepalive_seconds: float,
    buffer_bytes: int,
) -> aiohttp.ClientSession:
    """Make a session all of whose connections pass `gate`, and which keeps no state."""
    connector = _Connector(
        resolver=gate,
        use_dns_cache=False,
        socket_factory=gate.open,
        ssl=tls or True,
        limit=connections,
        force_close=not keepalive_seconds,
        keepalive_timeout=keepalive_seconds or None,
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
        read_bufsize=buffer_bytes,
        headers={"Accept-Encoding": "identity", "User-Agent": "Reelgate"},
    )


def failure(error: Exception, *, sent: bool) -> EgressFailed:
    """Say what an error of aiohttp means, given whether the request may have been sent."""
    kind: Failure
    match error:
        case aiohttp.ClientConnectorDNSError():
            kind = "dns"
        case aiohttp.ClientSSLError() | aiohttp.ServerFingerprintMismatch():
            kind = "tls"
        case aiohttp.ClientConnectorError() | aiohttp.ConnectionTimeoutError():
            kind = "connect"
        case TimeoutError():
            kind = "timeout" if sent else "connect"
        case aiohttp.ClientConnectionError() | aiohttp.ClientPayloadError():
            kind = "reset" if sent else "connect"
        case UnicodeError() if not sent:  # a name that cannot be encoded for TLS or DNS
            kind = "dns"
        case _:
            kind = "protocol"
    return EgressFailed(kind, detail=f"{type(error).__name__}: {error}", sent=sent)

"""The calling side of gRPC: channels whose calls carry request id, deadline and token on, and are counted.

The channel is wrapped, not intercepted: grpc.aio's client interceptors start one more task for each call.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from typing import Any, Final

import grpc
from google.protobuf.descriptor import FileDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions

from services.kernel import context as call_context
from services.kernel.metrics import RPC_SENT_TOTAL

DEFAULT_LIMIT_SECONDS: Final = 20.0

# Only what never reached a handler is repeated: whatever a handler answers forbids it (see `status.to_trailer`).
_RETRY_POLICY: Final = {
    "maxAttempts": 5,
    "initialBackoff": "0.1s",
    "maxBackoff": "1s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}

CHANNEL_OPTIONS: Final = (
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_receive_message_length", 4 * 1024 * 1024),
    # Connections are not shared with channels of the same address that were closed: a new channel would inherit the
    # failure of the old one's last connection.
    ("grpc.use_local_subchannel_pool", 1),
    # Our services are reached directly: an `http_proxy` in the environment is meant for others.
    ("grpc.enable_http_proxy", 0),
    # A peer that was killed is back within seconds: do not wait the default of up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)

_Metadata = tuple[tuple[str, str | bytes], ...]


def _service_config(services: Iterable[ServiceDescriptor]) -> str:
    idempotent = [
        {"service": service.full_name, "method": method.name}
        for service in services
        for method in service.methods
        if method.GetOptions().idempotency_level != MethodOptions.IDEMPOTENCY_UNKNOWN
    ]
    methods = [{"name": idempotent, "retryPolicy": _RETRY_POLICY}] if idempotent else []
    return json.dumps({"loadBalancingConfig": [{"round_robin": {}}], "methodConfig": methods})


def make_channel(address: str, *contracts: FileDescriptor) -> grpc.aio.Channel:
    """A channel to `host:port`, to make stubs of; close it with `async with`.

    Methods that the `contracts` declare idempotent are repeated for about a second when their peer is not there.

    A unary call ends after 20 s or its own `timeout`, and never later than the call being served. A stream
    has no time limit but its own `timeout`. Cancelling the task that waits for a call cancels the call, and so
    does leaving the loop that reads it.
    """
    services = [service for contract in contracts for service in contract.services_by_name.values()]
    options = (*CHANNEL_OPTIONS, ("grpc.service_config", _service_config(services)))
    return _Channel(grpc.aio.insecure_channel(address, options=options))


class _Method:
    """One method of a stub, of any shape."""

    __slots__ = ("_call", "_sent", "_streams_in", "_streams_out")

    def __init__(self, call: Any, name: str, *, streams_in: bool, streams_out: bool) -> None:
        self._call = call
        self._streams_in = streams_in
        self._streams_out = streams_out
        self._sent = RPC_SENT_TOTAL.labels(name)

    def __call__(
        self,
        *request: Any,
        timeout: float | None = None,
        metadata: Iterable[tuple[str, str | bytes]] | None = None,
        **options: Any,
    ) -> Any:
        self._sent.inc()
        if not (self._streams_in or self._streams_out):
            timeout = call_context.seconds_left(timeout or DEFAULT_LIMIT_SECONDS)
        # No done callback is added: it would make the call refer to itself, garbage for the collector.
        call = self._call(*request, timeout=timeout, metadata=_carried(metadata), **options)
        return _Responses(call) if self._streams_out else call


class _Responses:
    """A call that streams its answer; cancelled as soon as its reader is, or leaves the loop.

    grpc.aio alone keeps it going when the reader is cancelled just when the request has gone out, and, when the
    reader leaves the loop, until the garbage collector comes by.
    """

    def __init__(self, call: Any) -> None:
        self._call = call
        self._messages = _messages(call)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._messages

    async def read(self) -> Any:
        """The next message, or `grpc.aio.EOF`."""
        try:
            return await self._call.read()
        except asyncio.CancelledError:
            self._call.cancel()
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)


async def _messages(call: Any) -> AsyncIterator[Any]:
    try:
        async for message in call:
            yield message
    finally:
        call.cancel()


def _carried(metadata: Iterable[tuple[str, str | bytes]] | None) -> _Metadata:
    given: _Metadata = tuple(metadata) if metadata else ()
    if request_id := call_context.request_id.get():
        given = (*given, ("x-request-id", request_id))
    token = call_context.bearer_token.get()
    if token and not any(key == "authorization" for key, _ in given):
        given = (*given, ("authorization", f"Bearer {token}"))
    return given


class _Channel(grpc.aio.Channel):
    """A channel whose methods are wrapped; everything else is the wrapped channel's."""

    def __init__(self, inner: grpc.aio.Channel) -> None:
        self._inner = inner

    def unary_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        call = self._inner.unary_unary(method, *args, **kwargs)
        return _Method(call, method, streams_in=False, streams_out=False)

    def unary_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        call = self._inner.unary_stream(method, *args, **kwargs)
        return _Method(call, method, streams_in=False, streams_out=True)

    def stream_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        call = self._inner.stream_unary(method, *args, **kwargs)
        return _Method(call, method, streams_in=True, streams_out=False)

    def stream_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        call = self._inner.stream_stream(method, *args, **kwargs)
        return _Method(call, method, streams_in=True, streams_out=True)

    async def close(self, grace: float | None = None) -> None:
        await self._inner.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self._inner.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._inner.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._inner.channel_ready()

    async def __aenter__(self) -> "_Channel":
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self._inner.close()

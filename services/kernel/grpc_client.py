"""The calling side of gRPC: channels whose calls carry request id, deadline and token on, and are counted.

The channel is wrapped, not intercepted: grpc.aio's client interceptors start one more task for each call.
"""

import json
from collections.abc import Iterable
from typing import Any, Final

import grpc
from prometheus_client import Counter

from services.kernel import context as call_context
from services.kernel.metrics import RPC_SENT_TOTAL

DEFAULT_LIMIT_SECONDS: Final = 20.0

_SERVICE_CONFIG: Final = json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})

CHANNEL_OPTIONS: Final = (
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_receive_message_length", 4 * 1024 * 1024),
    ("grpc.service_config", _SERVICE_CONFIG),
    # Our services are reached directly: an `http_proxy` in the environment is meant for others.
    ("grpc.enable_http_proxy", 0),
    # A peer that was killed is back within seconds: do not wait the default of up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)

_Metadata = tuple[tuple[str, str | bytes], ...]


def make_channel(address: str) -> grpc.aio.Channel:
    """A channel to `host:port`, to make stubs of; close it with `async with`.

    A unary call ends after 20 s or its own `timeout`, and never later than the call being served. A stream
    has no time limit but its own `timeout`. Cancelling the task that waits for a call cancels the call.
    """
    return _Channel(grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS))


class _Method:
    """One method of a stub, of any shape."""

    __slots__ = ("_call", "_limited", "_name", "_sent")

    def __init__(self, call: Any, name: str, *, limited: bool) -> None:
        self._call = call
        self._name = name
        self._limited = limited
        self._sent: dict[grpc.StatusCode, Counter] = {}

    def __call__(
        self,
        *request: Any,
        timeout: float | None = None,
        metadata: Iterable[tuple[str, str | bytes]] | None = None,
        **options: Any,
    ) -> Any:
        if self._limited:
            timeout = call_context.seconds_left(timeout or DEFAULT_LIMIT_SECONDS)
        call = self._call(*request, timeout=timeout, metadata=_carried(metadata), **options)
        call.add_done_callback(self._count)
        return call

    def _count(self, call: grpc.aio.Call) -> None:
        code = _code_of(call)
        sent = self._sent.get(code)
        if sent is None:
            sent = self._sent[code] = RPC_SENT_TOTAL.labels(self._name, code.name)
        sent.inc()


def _carried(metadata: Iterable[tuple[str, str | bytes]] | None) -> _Metadata:
    given: _Metadata = tuple(metadata) if metadata else ()
    if request_id := call_context.request_id.get():
        given = (*given, ("x-request-id", request_id))
    token = call_context.bearer_token.get()
    if token and not any(key == "authorization" for key, _ in given):
        given = (*given, ("authorization", f"Bearer {token}"))
    return given


def _code_of(finished: grpc.aio.Call) -> grpc.StatusCode:
    # code() is a coroutine because a call may still go on; that of a finished one ends at its first step.
    coroutine = finished.code()
    try:
        coroutine.send(None)
    except StopIteration as end:
        code: grpc.StatusCode = end.value
        return code
    coroutine.close()
    return grpc.StatusCode.UNKNOWN


class _Channel(grpc.aio.Channel):
    """A channel whose methods are wrapped; everything else is the wrapped channel's."""

    def __init__(self, inner: grpc.aio.Channel) -> None:
        self._inner = inner

    def unary_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _Method(self._inner.unary_unary(method, *args, **kwargs), method, limited=True)

    def unary_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _Method(self._inner.unary_stream(method, *args, **kwargs), method, limited=False)

    def stream_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _Method(self._inner.stream_unary(method, *args, **kwargs), method, limited=False)

    def stream_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _Method(self._inner.stream_stream(method, *args, **kwargs), method, limited=False)

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

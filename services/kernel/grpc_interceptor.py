"""What happens around each served call, whatever its shape: identity, deadline, metrics, errors."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import aclosing
from typing import Any, Final, TypeAlias, cast

import grpc
import psycopg
import structlog
from prometheus_client import Histogram

from services.kernel import context as call_context
from services.kernel.errors import (
    Aborted,
    DeadlineExceeded,
    Internal,
    ReelgateError,
    Unavailable,
    Unimplemented,
)
from services.kernel.ids import new_id
from services.kernel.metrics import ERRORS_TOTAL, RPC_IN_FLIGHT, RPC_SERVED_SECONDS
from services.kernel.status import to_trailer
from services.kernel.tokens import Verifier

log = structlog.get_logger()

UNARY_LIMIT_SECONDS: Final = 60.0
_NO_TOKEN_NEEDED: Final = ("/grpc.health.", "/grpc.reflection.")
_REQUEST_ID_LENGTH: Final = 64
_UNIMPLEMENTED: Final = grpc.StatusCode.UNIMPLEMENTED

_Context = grpc.aio.ServicerContext[Any, Any]
_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class ServerInterceptor(grpc.aio.ServerInterceptor):
    """Gives each call its request id, caller and deadline, counts it, and turns what it raises into a status.

    `public_methods` are full names ("/package.Service/Method") that need no token.
    """

    def __init__(self, verifier: Verifier, public_methods: Iterable[str] = ()) -> None:
        self._verifier = verifier
        self._public = frozenset(public_methods)
        # Only methods that exist get in here (and into the metrics).
        self._wrapped: dict[str, _Handler] = {}

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """The handler of a method, wrapped; None for a method that does not exist."""
        handler = await continuation(handler_call_details)
        method: str = handler_call_details.method
        if handler is None or method.startswith(_NO_TOKEN_NEEDED):
            return handler
        wrapped = self._wrapped.get(method)
        if wrapped is None:
            served = _Method(method, handler, None if method in self._public else self._verifier)
            wrapped = self._wrapped[method] = served.handler()
        return wrapped


class _Method:
    """One method of a servicer. Without a verifier nobody is asked who he is."""

    def __init__(self, name: str, handler: Any, verifier: Verifier | None) -> None:
        self._name = name
        self._inner = handler
        self._verifier = verifier
        self._in_flight = RPC_IN_FLIGHT.labels(name)
        self._served: dict[grpc.StatusCode, Histogram] = {}
        self._implementation: Callable[[Any, _Context], Any] = (
            handler.unary_unary
            or handler.unary_stream
            or handler.stream_unary
            or handler.stream_stream
        )
        self._answer: Callable[[Any, _Context], Awaitable[Any]] = (
            self._write_all if handler.response_streaming else self._implementation
        )
        # A stream ends when it is idle or its client goes, not after a time.
        streams = handler.request_streaming or handler.response_streaming
        self._limit = None if streams else UNARY_LIMIT_SECONDS

    def handler(self) -> _Handler:
        """What the server is to call instead."""
        inner = self._inner
        make: Any
        if inner.response_streaming:
            make = (
                grpc.stream_stream_rpc_method_handler
                if inner.request_streaming
                else grpc.unary_stream_rpc_method_handler
            )
        else:
            make = (
                grpc.stream_unary_rpc_method_handler
                if inner.request_streaming
                else grpc.unary_unary_rpc_method_handler
            )
        wrapped: _Handler = make(self._serve, inner.request_deserializer, inner.response_serializer)
        return wrapped

    async def _serve(self, request: Any, context: _Context) -> Any:
        begin = time.perf_counter()
        code = grpc.StatusCode.OK
        self._in_flight.inc()
        try:
            limit = self._admit(context)
            if limit is None:
                return await self._answer(request, context)
            async with asyncio.timeout(limit):
                return await self._answer(request, context)
        except grpc.aio.AbortError:
            code = context.code()
            raise
        except BaseException as error:
            failure = self._failure(error, context)
            if failure is None:
                late = context.time_remaining() == 0
                code = grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED
                raise
            code, sentence, trailer = to_trailer(failure)
            await context.abort(code, sentence, trailer)
        finally:
            self._in_flight.dec()
            self._seconds(code).observe(time.perf_counter() - begin)

    def _seconds(self, code: grpc.StatusCode) -> Histogram:
        seconds = self._served.get(code)
        if seconds is None:
            seconds = self._served[code] = RPC_SERVED_SECONDS.labels(self._name, code.name)
        return seconds

    def _admit(self, context: _Context) -> float | None:
        """Learns what the call brings along; returns the time limit that nobody else watches, in seconds."""
        metadata: dict[str, Any] = dict(cast("Any", context.invocation_metadata()))
        request_id = metadata.get("x-request-id", "")[:_REQUEST_ID_LENGTH] or str(new_id())
        call_context.request_id.set(request_id)
        remaining: float | None = context.time_remaining()
        # gRPC itself cancels the call at its client's deadline.
        own_limit = self._limit
        if own_limit is not None and remaining is not None and remaining <= own_limit:
            own_limit = None
        limit = remaining if own_limit is None else own_limit
        if limit is not None:
            call_context.deadline.set(asyncio.get_running_loop().time() + limit)
        if self._verifier is not None:
            scheme, _, token = metadata.get("authorization", "").partition(" ")
            if scheme.lower() == "bearer" and token:
                call_context.set_caller(self._verifier.verify(token))
                call_context.bearer_token.set(token)
            else:
                call_context.caller()
        return own_limit

    async def _write_all(self, request: Any, context: _Context) -> None:
        """Writes what the servicer yields.

        Left to itself grpc.aio abandons the generator of a cancelled call: its `finally` blocks run some time
        later, in another task. Here they run at once, in the task of the call.
        """
        messages = self._implementation(request, context)
        if inspect.isawaitable(messages):
            await messages  # this servicer writes itself
            return
        async with aclosing(messages):
            async for message in messages:
                await context.write(message)

    def _failure(self, error: BaseException, context: _Context) -> ReelgateError | None:
        """What to tell the caller; None when nobody waits for an answer any more."""
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        if isinstance(error, asyncio.CancelledError):
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                return None
            # Something the call waited for was cancelled, not the call: grpc.aio would never answer.
            return Aborted("This was broken off. Try again.")
        if not isinstance(error, Exception):
            return None
        if isinstance(error, NotImplementedError) and context.code() is _UNIMPLEMENTED:
            # So say the servicers that protoc generates.
            return Unimplemented("This is not available in this version yet.")
        return _foreseen(error) or self._unexpected(error)

    def _unexpected(self, error: Exception) -> ReelgateError:
        ERRORS_TOTAL.labels(self._name).inc()
        log.error("unexpected_error", method=self._name, exc_info=error)
        request_id = call_context.request_id.get()
        return Internal(f"Something went wrong here (request {request_id}).")


def _foreseen(error: Exception) -> ReelgateError | None:
    if isinstance(error, ReelgateError):
        return error
    if isinstance(error, TimeoutError):
        return DeadlineExceeded("It took too long. Try again in a moment.", retry_after=2)
    if isinstance(error, psycopg.OperationalError):
        log.warning("database_unavailable", error=type(error).__name__)
        return Unavailable("The database is busy or gone. Try again in a moment.", retry_after=2)
    return None

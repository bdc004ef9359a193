"""Errors ⇄ `google.rpc.Status`: the only place that knows both sides."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import grpc
from google.protobuf.any_pb2 import Any
from google.rpc import error_details_pb2, status_pb2

from services.kernel.errors import GRPC_CODE, Internal, ReelgateError, Unavailable, category
from services.kernel.metrics import RPC_FAILED_TOTAL

DOMAIN: Final = "reelgate"
DETAILS_KEY: Final = "grpc-status-details-bin"
_ERROR_BY_CODE: Final[Mapping[grpc.StatusCode, type[ReelgateError]]] = {
    **{code: kind for kind, code in GRPC_CODE.items()},
    # The other side was told to stop and its patience ran out (our own cancelling raises CancelledError).
    grpc.StatusCode.CANCELLED: Unavailable,
}
# All of it travels as HTTP/2 headers, the sentence up to three times; from 8 KiB on the peer refuses them.
_MESSAGE_LIMIT: Final = 300


def to_trailer(
    error: ReelgateError,
) -> tuple[grpc.StatusCode, str, tuple[tuple[str, str | bytes], ...]]:
    """Code, message and trailing metadata that say everything `error` says."""
    code = GRPC_CODE[category(error)]
    sentence = error.message
    if len(sentence) > _MESSAGE_LIMIT:
        sentence = f"{sentence[: _MESSAGE_LIMIT - 1]}…"
    details: list[Any] = []

    def pack(
        message: error_details_pb2.ErrorInfo
        | error_details_pb2.BadRequest
        | error_details_pb2.RetryInfo,
    ) -> None:
        packed = Any()
        packed.Pack(message)
        details.append(packed)

    pack(error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata))
    if error.field is not None:
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=error.field, description=sentence
        )
        pack(error_details_pb2.BadRequest(field_violations=[violation]))
    if error.retry_after is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(int(error.retry_after * 1000))
        pack(retry)
    status = status_pb2.Status(code=code.value[0], message=sentence, details=details)
    # The second line tells the caller's channel not to repeat the call: it reached us, and this is the answer.
    return (
        code,
        sentence,
        ((DETAILS_KEY, status.SerializeToString()), ("grpc-retry-pushback-ms", "-1")),
    )


def from_rpc_error(error: grpc.aio.AioRpcError) -> ReelgateError:
    """The error that the other side raised; one of gRPC's own keeps its category with a plain sentence."""
    kind = _ERROR_BY_CODE.get(error.code(), Internal)
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            return _from_status(kind, status_pb2.Status.FromString(value))
    if kind is Internal:
        if "SendMessageOperation" in (error.debug_error_string() or ""):
            # grpc.aio's own word for it: the other side ended the call while we were sending, and its status is lost.
            return Unavailable(
                "The service ended the call before everything was sent. Try again.", retry_after=1
            )
        return Internal(
            "The service failed. Try again; if it goes on, tell the operator the request id."
        )
    return kind(_PLAIN.get(error.code(), "The service did not answer as expected."))


def _from_status(kind: type[ReelgateError], status: status_pb2.Status) -> ReelgateError:
    info = error_details_pb2.ErrorInfo()
    bad = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    field: str | None = None
    retry_after: float | None = None
    for detail in status.details:
        if detail.Unpack(info):
            continue
        if detail.Unpack(bad) and bad.field_violations:
            field = bad.field_violations[0].field
        elif detail.Unpack(retry):
            retry_after = retry.retry_delay.ToMilliseconds() / 1000
    return kind(
        status.message,
        reason=info.reason or None,
        metadata=dict(info.metadata),
        field=field,
        retry_after=retry_after,
    )


@contextmanager
def rpc_errors() -> Iterator[None]:
    """Wrap calls of a stub in this: what the other side raised is raised here, and counted."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        RPC_FAILED_TOTAL.labels(error.code().name).inc()
        raise from_rpc_error(error) from None


_PLAIN: Final = {
    grpc.StatusCode.UNAVAILABLE: "A part of the service is not reachable right now. Try again in a moment.",
    grpc.StatusCode.DEADLINE_EXCEEDED: "The service took too long to answer.",
    grpc.StatusCode.UNIMPLEMENTED: "This is not available in this version yet.",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "The message is too large or the service is overloaded.",
}

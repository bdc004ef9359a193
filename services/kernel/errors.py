"""The one tree of errors that cross a boundary.

A service raises these and nothing else towards its callers; `kernel.status` turns them into
`google.rpc.Status` and back, `HTTP_STATUS` into HTTP. A message is for a person and never carries a driver's
text or a secret.
"""

from collections.abc import Mapping
from typing import ClassVar, Final

import grpc


class ReelgateError(Exception):
    """Something the caller is to know.

    `reason` is UPPER_SNAKE_CASE and stable (programs branch on it), `metadata` holds figures that belong to
    it, `field` names the bad field of a request, `retry_after` is in seconds.
    """

    default_reason: ClassVar[str] = "INTERNAL"

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
        field: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.metadata = dict(metadata or {})
        self.field = field
        self.retry_after = retry_after


class InvalidArgument(ReelgateError):
    """The request is wrong whatever the state of the system."""

    default_reason = "INVALID_ARGUMENT"


class OutOfRange(ReelgateError):
    """A range lies behind the end."""

    default_reason = "OUT_OF_RANGE"


class Unauthenticated(ReelgateError):
    """Nobody, or nobody we know."""

    default_reason = "UNAUTHENTICATED"


class PermissionDenied(ReelgateError):
    """Known, but not allowed."""

    default_reason = "PERMISSION_DENIED"


class NotFound(ReelgateError):
    """There is no such thing, or it is somebody else's."""

    default_reason = "NOT_FOUND"


class AlreadyExists(ReelgateError):
    """The name is taken."""

    default_reason = "ALREADY_EXISTS"


class FailedPrecondition(ReelgateError):
    """Not in this state; repeating does not help before the state changes."""

    default_reason = "FAILED_PRECONDITION"


class Aborted(ReelgateError):
    """Broken off by something else; the whole operation may be tried again."""

    default_reason = "ABORTED"


class ResourceExhausted(ReelgateError):
    """A limit is reached."""

    default_reason = "RESOURCE_EXHAUSTED"


class Unavailable(ReelgateError):
    """Not now; try again."""

    default_reason = "UNAVAILABLE"


class DeadlineExceeded(ReelgateError):
    """It took too long."""

    default_reason = "DEADLINE_EXCEEDED"


class Unimplemented(ReelgateError):
    """Not offered here."""

    default_reason = "UNIMPLEMENTED"


class Internal(ReelgateError):
    """Our fault."""


GRPC_CODE: Final[Mapping[type[ReelgateError], grpc.StatusCode]] = {
    InvalidArgument: grpc.StatusCode.INVALID_ARGUMENT,
    OutOfRange: grpc.StatusCode.OUT_OF_RANGE,
    Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    NotFound: grpc.StatusCode.NOT_FOUND,
    AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    FailedPrecondition: grpc.StatusCode.FAILED_PRECONDITION,
    Aborted: grpc.StatusCode.ABORTED,
    ResourceExhausted: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Unavailable: grpc.StatusCode.UNAVAILABLE,
    DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
    Unimplemented: grpc.StatusCode.UNIMPLEMENTED,
    Internal: grpc.StatusCode.INTERNAL,
}

HTTP_STATUS: Final[Mapping[type[ReelgateError], int]] = {
    InvalidArgument: 400,
    OutOfRange: 416,
    Unauthenticated: 401,
    PermissionDenied: 403,
    NotFound: 404,
    AlreadyExists: 409,
    FailedPrecondition: 409,
    Aborted: 502,
    ResourceExhausted: 429,
    Unavailable: 503,
    DeadlineExceeded: 504,
    Unimplemented: 501,
    Internal: 500,
}


def category(error: ReelgateError) -> type[ReelgateError]:
    """The class of this module that `error` belongs to: the key for both tables."""
    return next((kind for kind in type(error).__mro__ if kind in GRPC_CODE), Internal)

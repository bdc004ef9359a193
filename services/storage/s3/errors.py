"""What S3's refusals and botocore's errors mean to us."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    ReadTimeoutError,
)

from services.storage.objects import Tier
from services.storage.ports import TierFailed, Trouble

_MISSING: Final = frozenset({"404", "NoSuchBucket", "NoSuchKey", "NoSuchUpload", "NotFound"})
_FULL: Final = frozenset({"507", "InsufficientStorage", "QuotaExceeded", "XMinioStorageFull"})
# Those that the server itself asks to repeat, and sums that were spoiled on the way.
_OVERLOADED: Final = frozenset(
    {"429", "500", "502", "503", "504", "BadDigest", "InternalError", "OperationAborted"}
    | {
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "ThrottlingException",
        "XAmzContentChecksumMismatch",
    }
)


def trouble_of(code: str, status: int) -> Trouble:
    """The trouble behind an error code of S3, or behind the bare HTTP status when it gave none."""
    groups: tuple[tuple[frozenset[str], Trouble], ...] = (
        (_MISSING, "missing"),
        (_FULL, "full"),
        (_OVERLOADED, "overloaded"),
    )
    for known, trouble in groups:
        if code in known or (not code and str(status) in known):
            return trouble
    return "overloaded" if status >= 500 else "refused"


def says_there_are_none(error: ClientError) -> bool:
    """Whether a listing of multipart uploads failed only because it is empty, as that of rclone's server does."""
    return error.response.get("Error", {}).get("Code") == "NoSuchUpload"


@contextmanager
def tier_errors(*, seconds: float | None = None) -> Iterator[None]:
    """Turns what aiobotocore raises, and TimeoutError, into TierFailed."""
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        raise TierFailed(
            Tier.S3, trouble_of(code, status), f"{code} in {error.operation_name}"
        ) from None
    except (ReadTimeoutError, TimeoutError):
        limit = "" if seconds is None else f" within {seconds:.0f} s"
        raise TierFailed(Tier.S3, "timeout", f"no answer{limit}") from None
    except (EndpointConnectionError, ConnectTimeoutError) as error:
        raise TierFailed(Tier.S3, "connect", type(error).__name__) from None
    except (ConnectionClosedError, HTTPClientError, BotoCoreError) as error:
        raise TierFailed(Tier.S3, "broken", type(error).__name__) from None

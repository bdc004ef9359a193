"""What can be wrong with an S3 server, and where a work is kept then."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.faults.storage.bad_s3 import (
    Call,
    Deed,
    Fault,
    always,
    both,
    break_off,
    hang,
    late,
    lose_answer,
    saying,
    spoil,
    trickling,
    well,
)
from tests.integration.storage.harness import MIB

S3: Final = "S3"
LOCAL: Final = "local disk"
REFUSED: Final = "SOURCE_FAILED"

LARGE_BYTES: Final = 12 * MIB  # three parts
SMALL_BYTES: Final = 2000


@dataclass(frozen=True, slots=True)
class Case:
    """One fault. `kept`: where the work is kept meanwhile, or the reason why not, of a source that is `cut`.

    The fault is made anew for each trial: some count. `down`: nobody listens at all.
    """

    name: str
    fault: Callable[[], Fault]
    kept: str
    size: int = LARGE_BYTES
    cut: bool = False
    down: bool = False
    seconds: float = 25
    """The most it may take until the work is kept."""


def from_then_on(operation: str, nth: int, deed: Deed) -> Callable[[], Fault]:
    """Does it to everything from the `nth` of this operation on."""

    def make() -> Fault:
        begun = False

        def fault(call: Call) -> Deed | None:
            nonlocal begun
            begun = begun or (call.operation == operation and call.nth >= nth)
            return deed if begun else None

        return fault

    return make


def each(deed: Deed, *operations: str, after: int = 0, times: int = 1 << 30) -> Callable[[], Fault]:
    """See `always`."""
    return lambda: always(deed, *operations, after=after, times=times)


SLOW_DOWN: Final = saying("503 Slow Down", "SlowDown")
REVOKED: Final = saying("403 Forbidden", "InvalidAccessKeyId")
DENIED: Final = saying("403 Forbidden", "AccessDenied")
FULL: Final = saying("507 Insufficient Storage", "InsufficientStorage")
BROKEN_INSIDE: Final = saying("500 Internal Server Error", "InternalError")
ERROR_AS_SUCCESS: Final = saying("200 OK", "InternalError")
NO_SUCH_UPLOAD: Final = saying("404 Not Found", "NoSuchUpload")
PAGE: Final = saying("200 OK", body="<!doctype html><html><body>Welcome<br></body></html>")
NOTHING: Final = saying("200 OK")
A_PART_IS_LEFT: Final = saying(
    "200 OK",
    body="<ListPartsResult><IsTruncated>false</IsTruncated><Part><PartNumber>1</PartNumber>"
    "<Size>5</Size></Part></ListPartsResult>",
)
_PARTS: Final = "UploadPart"
_WRITES: Final = ("PutObject", "UploadPart")
_CREATE: Final = "CreateMultipartUpload"
_COMPLETE: Final = "CompleteMultipartUpload"
_ABORT: Final = "AbortMultipartUpload"

CASES: Final = (
    # The slowest first: a slice takes it while others go by.
    Case("is a black hole from the second part on", from_then_on(_PARTS, 2, hang), LOCAL),
    Case("refuses connections", lambda: well, LOCAL, down=True),
    Case("says SlowDown twice", each(SLOW_DOWN, _PARTS, times=2), S3),
    Case("says SlowDown to every part", each(SLOW_DOWN, _PARTS), LOCAL),
    Case("credentials are revoked at the second part", from_then_on(_PARTS, 2, REVOKED), LOCAL),
    Case("is out of space at the second part", each(FULL, _PARTS, after=1), LOCAL),
    Case("answers 200 with an error to Complete", each(ERROR_AS_SUCCESS, _COMPLETE), LOCAL),
    Case(
        "answers 200 with an error to Complete, once",
        each(ERROR_AS_SUCCESS, _COMPLETE, times=1),
        S3,
    ),
    Case("resets in the middle of a part, once", each(break_off, _PARTS, after=1, times=1), S3),
    Case("loses the answer to Complete", each(lose_answer, _COMPLETE, times=1), S3),
    Case("hears a part wrong, once", each(spoil, _PARTS, times=1), S3),
    Case(
        "still lists parts after an abort, twice",
        each(A_PART_IS_LEFT, "ListParts", times=2),
        REFUSED,
        cut=True,
    ),
    Case("answers nothing to Complete", each(NOTHING, _COMPLETE), LOCAL),
    Case("becomes a web server at the second part", from_then_on(_PARTS, 2, PAGE), LOCAL),
    Case("loses the answer to Create", each(lose_answer, _CREATE, times=1), S3),
    Case("dies at the second part", from_then_on(_PARTS, 2, break_off), LOCAL),
    # The rest only in a whole campaign.
    Case("is a black hole", each(hang), LOCAL),
    Case("hangs in Complete", each(hang, _COMPLETE), LOCAL, seconds=70),
    Case("takes a second for everything", each(late(1)), S3),
    Case("takes 1.5 MiB/s", each(trickling(3 * MIB // 2), *_WRITES), S3),
    Case("says SlowDown once to everything", each(SLOW_DOWN, times=1), S3),
    Case(
        "says SlowDown once to everything, small file",
        each(SLOW_DOWN, times=1),
        S3,
        size=SMALL_BYTES,
    ),
    Case("says SlowDown to everything", each(SLOW_DOWN), LOCAL),
    Case("says SlowDown to everything, small file", each(SLOW_DOWN), LOCAL, size=SMALL_BYTES),
    Case("says 502 without a word, once", each(saying("502 Bad Gateway"), _PARTS, times=1), S3),
    Case("says 500 to every part", each(BROKEN_INSIDE, _PARTS), LOCAL),
    Case("says 500 to Complete", each(BROKEN_INSIDE, _COMPLETE), LOCAL),
    Case("says 500 to Create", each(BROKEN_INSIDE, _CREATE), LOCAL),
    Case("denies writing", each(DENIED, *_WRITES, _CREATE), LOCAL),
    Case("denies writing, small file", each(DENIED, *_WRITES), LOCAL, size=SMALL_BYTES),
    Case("has no such bucket", each(saying("404 Not Found", "NoSuchBucket")), LOCAL),
    Case("forgets the upload", each(NO_SUCH_UPLOAD, _PARTS, after=1), LOCAL),
    Case("has moved", each(saying("301 Moved Permanently", "PermanentRedirect")), LOCAL),
    Case("is a web server", each(PAGE), LOCAL),
    Case("is a web server, small file", each(PAGE), LOCAL, size=SMALL_BYTES),
    Case("answers nothing to Create", each(NOTHING, _CREATE), LOCAL),
    Case("resets in the middle of each part", each(break_off, _PARTS), LOCAL),
    Case(
        "resets in the middle of a small file",
        each(break_off, "PutObject"),
        LOCAL,
        size=SMALL_BYTES,
    ),
    Case("hears every part wrong", each(spoil, _PARTS), LOCAL),
    Case("hears a small file wrong, once", each(spoil, "PutObject", times=1), S3, size=SMALL_BYTES),
    Case("loses the answer to a part", each(lose_answer, _PARTS, times=1), S3),
    Case("loses every answer to parts", each(lose_answer, _PARTS), LOCAL),
    Case("loses every answer to Complete", each(lose_answer, _COMPLETE), LOCAL),
    Case(
        "loses the answer to a small file",
        each(lose_answer, "PutObject", times=1),
        S3,
        size=SMALL_BYTES,
    ),
    Case(
        "loses every answer to a small file",
        each(lose_answer, "PutObject"),
        LOCAL,
        size=SMALL_BYTES,
    ),
    Case("loses every answer to Create", each(lose_answer, _CREATE), LOCAL),
    Case(
        "still lists parts after every abort", each(A_PART_IS_LEFT, "ListParts"), REFUSED, cut=True
    ),
    Case("says SlowDown to aborts", each(SLOW_DOWN, _ABORT), REFUSED, cut=True),
    Case("hangs in aborts", each(hang, _ABORT), REFUSED, cut=True),
    Case(
        "says SlowDown to parts and hangs in aborts",
        lambda: both(always(SLOW_DOWN, _PARTS), always(hang, _ABORT)),
        LOCAL,
    ),
)

"""One tree of errors, one table to gRPC and one to HTTP."""

from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.errors import (
    GRPC_CODE,
    HTTP_STATUS,
    DeadlineExceeded,
    Internal,
    NotFound,
    ReelgateError,
    ResourceExhausted,
    Unavailable,
    Unimplemented,
    category,
)
from services.kernel.status import DETAILS_KEY, DOMAIN, from_rpc_error, rpc_errors, to_trailer

ERRORS = st.builds(
    lambda kind, message, reason, metadata, field, retry: kind(
        message, reason=reason, metadata=metadata, field=field, retry_after=retry
    ),
    st.sampled_from(sorted(GRPC_CODE, key=lambda kind: kind.__name__)),
    st.text(max_size=300),
    st.from_regex(r"[A-Z][A-Z_]{0,20}", fullmatch=True),
    st.dictionaries(st.text(max_size=10), st.text(max_size=10), max_size=3),
    st.none() | st.text(min_size=1, max_size=10),
    st.none() | st.integers(0, 10_000_000).map(lambda number: number / 1000),
)


def received(code: grpc.StatusCode, *trailer: tuple[str, Any]) -> grpc.aio.AioRpcError:
    metadata = grpc.aio.Metadata(*trailer)
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), metadata, "driver says: 10.0.0.7:5432")


def test_every_error_has_a_code_of_its_own_and_a_status() -> None:
    kinds = set(ReelgateError.__subclasses__())
    assert {kind for kind in kinds if kind.__module__ == ReelgateError.__module__} <= set(GRPC_CODE)
    assert set(GRPC_CODE) == set(HTTP_STATUS)
    assert len(set(GRPC_CODE.values())) == len(GRPC_CODE)
    assert all(400 <= status < 600 for status in HTTP_STATUS.values())


def test_an_error_that_a_service_named_itself_belongs_to_a_category() -> None:
    class QuotaExceeded(ResourceExhausted):
        default_reason = "QUOTA_EXCEEDED"

    class DailyQuotaExceeded(QuotaExceeded):
        pass

    assert category(DailyQuotaExceeded("Full.")) is ResourceExhausted
    assert category(NotFound("Gone.")) is NotFound
    assert category(ReelgateError("Odd.")) is Internal


@given(ERRORS)
def test_what_is_said_on_one_side_is_heard_on_the_other(error: ReelgateError) -> None:
    code, sentence, trailer = to_trailer(error)
    heard = from_rpc_error(received(code, *trailer))
    assert type(heard) is type(error)
    assert heard.message == error.message == sentence
    assert (heard.reason, heard.metadata) == (error.reason, error.metadata)
    assert (heard.field, heard.retry_after) == (error.field, error.retry_after)


@given(st.integers(0, 20_000), st.sampled_from(["a", "长", "🎞"]))
def test_however_long_a_message_is_the_headers_stay_below_the_peers_limit(
    length: int, letter: str
) -> None:
    _, sentence, ((_, details), *_) = to_trailer(NotFound(letter * length, field="x"))
    on_the_wire = sum(3 if byte > 0x7E else 1 for byte in sentence.encode())
    assert isinstance(details, bytes)
    assert on_the_wire + len(details) * 4 / 3 < 8 << 10


def test_other_languages_find_what_google_specified() -> None:
    _, _, ((key, details), *_) = to_trailer(
        NotFound("Gone.", reason="WORK_GONE", metadata={"id": "7"}, field="id", retry_after=1.5)
    )
    assert isinstance(details, bytes)
    status = status_pb2.Status.FromString(details)
    info, bad, retry = (
        error_details_pb2.ErrorInfo(),
        error_details_pb2.BadRequest(),
        error_details_pb2.RetryInfo(),
    )
    assert key == DETAILS_KEY == "grpc-status-details-bin"
    assert (status.code, status.message) == (5, "Gone.")
    assert [
        detail.Unpack(form) for detail, form in zip(status.details, (info, bad, retry), strict=True)
    ] == [True] * 3
    assert (info.reason, info.domain, dict(info.metadata)) == ("WORK_GONE", DOMAIN, {"id": "7"})
    assert bad.field_violations[0].field == "id"
    assert retry.retry_delay.ToMilliseconds() == 1500


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, Unavailable),
        (grpc.StatusCode.CANCELLED, Unavailable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, DeadlineExceeded),
        (grpc.StatusCode.UNIMPLEMENTED, Unimplemented),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, ResourceExhausted),
        (grpc.StatusCode.NOT_FOUND, NotFound),
        (grpc.StatusCode.UNKNOWN, Internal),
        (grpc.StatusCode.INTERNAL, Internal),
        (grpc.StatusCode.DATA_LOSS, Internal),
    ],
)
def test_what_grpc_itself_says_becomes_a_sentence_without_its_text(
    code: grpc.StatusCode, kind: type[ReelgateError]
) -> None:
    with pytest.raises(ReelgateError) as caught, rpc_errors():
        raise received(code)
    assert type(caught.value) is kind
    assert caught.value.message.endswith(".")
    assert "10.0.0.7" not in caught.value.message
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_status_that_was_lost_while_we_were_sending_is_worth_another_try() -> None:
    lost = grpc.aio.AioRpcError(
        grpc.StatusCode.INTERNAL,
        grpc.aio.Metadata(),
        grpc.aio.Metadata(),
        "Internal error from Core",
        'Failed "execute_batch": (<grpc._cython.cygrpc.SendMessageOperation object at 0x7f>,)',
    )
    with pytest.raises(Unavailable) as caught, rpc_errors():
        raise lost
    assert caught.value.retry_after is not None


def test_other_errors_pass_through() -> None:
    with pytest.raises(LookupError), rpc_errors():
        raise LookupError

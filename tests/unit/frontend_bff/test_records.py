"""Messages of the gateway as JSON."""

from typing import Any

from google.protobuf.struct_pb2 import Struct
from hypothesis import given
from hypothesis import strategies as st

from reelgate.common.v1 import media_pb2
from reelgate.gateway.v1 import generation_pb2
from reelgate.quota.v1 import credit_pb2, quota_pb2
from services.frontend_bff.clients import quota_records, records

_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(value=st.dictionaries(st.text(max_size=5), _json, max_size=4))
def test_parameters_come_back_as_they_were_sent(value: dict[str, Any]) -> None:
    message = Struct()
    message.update(value)

    assert records.struct(message) == value


def test_every_state_that_the_gateway_knows_has_a_name() -> None:
    for status in generation_pb2.GenerationStatus.values():
        for stage in generation_pb2.GenerationStage.values():
            for storage in generation_pb2.StorageType.values():
                message = generation_pb2.Generation(
                    status=status,
                    stage=stage,
                    storage_type=storage,
                    media_type=media_pb2.MEDIA_TYPE_VIDEO,
                )
                record = records.generation(message)
                assert record["status"]
                assert record["storage_type"]
                assert (record["stage"] is None) == (stage == 0)


def test_g6_every_source_of_a_quota_has_a_name() -> None:
    found = [
        quota_records.quota(quota_pb2.Quota(source=number))["source"]
        for number in quota_pb2.QuotaSource.values()
    ]

    assert found[1:] == ["user", "group", "default", "unlimited"]


def test_g7_every_kind_of_a_transaction_has_a_name() -> None:
    found = [
        quota_records.transaction(credit_pb2.Transaction(kind=number))["kind"]
        for number in credit_pb2.TransactionKind.values()
    ]

    assert found[1:] == ["grant", "correction", "hold", "capture", "refund"]


def test_a_failed_one_says_why_in_words() -> None:
    message = generation_pb2.Generation(
        status=generation_pb2.GENERATION_STATUS_FAILED,
        media_type=media_pb2.MEDIA_TYPE_IMAGE,
        error=generation_pb2.Notice(code="upstream_error", message="for a person"),
    )
    record = records.generation(message)

    assert record["error"] == {"code": "upstream_error", "message": "for a person"}
    assert record["notice"] is None
    assert record["media_url"] is None
    assert record["duration_seconds"] is None

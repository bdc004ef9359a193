"""What one side raises is what the other side gets, whatever the shape of the call."""

import asyncio
from typing import Any

import grpc
import psycopg
import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from reelgate.quota.v1 import quota_pb2, quota_pb2_grpc
from reelgate.storage.v1 import storage_pb2, storage_pb2_grpc
from services.kernel import context
from services.kernel.errors import (
    GRPC_CODE,
    Aborted,
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    NotFound,
    ReelgateError,
    ResourceExhausted,
    Unavailable,
    Unimplemented,
)
from services.kernel.grpc_client import make_channel
from services.kernel.grpc_interceptor import UNARY_LIMIT_SECONDS
from services.kernel.status import rpc_errors
from tests.contract.kernel.peers import SHAPES, Call, Peer, unary_unary

pytestmark = pytest.mark.usefixtures("logged_in")


class QuotaExceeded(ResourceExhausted):
    """A service may name its own."""

    default_reason = "QUOTA_EXCEEDED"


def raising(error: BaseException) -> Any:
    async def behave() -> None:
        raise error

    return behave


async def raised(call: Call, channel: grpc.aio.Channel) -> ReelgateError:
    with pytest.raises(ReelgateError) as caught:
        await call(channel)
    return caught.value


def count(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_everything_an_error_says_arrives(
    peer: Peer, channel: grpc.aio.Channel, call: Call
) -> None:
    peer.behave = raising(
        InvalidArgument(
            "Das Feld “prompt” ist leer: 请输入提示。",
            reason="PROMPT_EMPTY",
            metadata={"least": "1", "most": "4000"},
            field="prompt",
            retry_after=1.25,
        )
    )
    error = await raised(call, channel)
    assert type(error) is InvalidArgument
    assert error.message == "Das Feld “prompt” ist leer: 请输入提示。"
    assert error.reason == "PROMPT_EMPTY"
    assert error.metadata == {"least": "1", "most": "4000"}
    assert error.field == "prompt"
    assert error.retry_after == 1.25


@pytest.mark.parametrize("kind", GRPC_CODE, ids=lambda kind: kind.__name__)
async def test_every_category_arrives_as_itself(
    peer: Peer, channel: grpc.aio.Channel, kind: type[ReelgateError]
) -> None:
    peer.behave = raising(kind("A sentence."))
    error = await raised(unary_unary, channel)
    assert type(error) is kind
    assert error.reason == kind.default_reason
    assert (error.field, error.retry_after, error.metadata) == (None, None, {})


async def test_an_error_that_a_service_named_itself_arrives_as_its_category(
    peer: Peer, channel: grpc.aio.Channel
) -> None:
    peer.behave = raising(QuotaExceeded("Full.", metadata={"used": "7"}))
    error = await raised(unary_unary, channel)
    assert type(error) is ResourceExhausted
    assert (error.reason, error.metadata) == ("QUOTA_EXCEEDED", {"used": "7"})


async def test_a_long_message_is_shortened_not_lost(peer: Peer, channel: grpc.aio.Channel) -> None:
    peer.behave = raising(FailedPrecondition("长" * 5_000, field="x", reason="LONG"))
    error = await raised(unary_unary, channel)
    assert error.reason == "LONG"
    assert error.message.startswith("长长长")
    assert error.message.endswith("…")


async def test_an_error_of_work_in_a_task_group_arrives_as_itself(
    peer: Peer, channel: grpc.aio.Channel, call: Call
) -> None:
    async def behave() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(raising(FailedPrecondition("No.", reason="STALE_LEASE"))())
            group.create_task(asyncio.sleep(30))

    peer.behave = behave
    assert (await raised(call, channel)).reason == "STALE_LEASE"


async def test_an_unknown_error_is_logged_once_and_tells_only_the_request_id(
    peer: Peer, channel: grpc.aio.Channel, call: Call
) -> None:
    method = next(name for name, one in SHAPES.items() if one is call)
    peer.behave = raising(LookupError("password=hunter2"))
    before = count("reelgate_unexpected_errors_total", where=method)
    with capture_logs() as logs:
        error = await raised(call, channel)
    assert type(error) is Internal
    assert peer.request_ids[0] in error.message
    assert "hunter2" not in error.message
    assert [entry["event"] for entry in logs] == ["unexpected_error"]
    assert logs[0]["method"] == method
    assert isinstance(logs[0]["exc_info"], LookupError)
    assert count("reelgate_unexpected_errors_total", where=method) == before + 1


@pytest.mark.parametrize(
    ("problem", "kind"),
    [
        (psycopg.OperationalError("host db-7 password=hunter2"), Unavailable),
        (TimeoutError(), DeadlineExceeded),
        (asyncio.CancelledError(), Aborted),
    ],
)
async def test_what_may_pass_by_itself_is_said_to(
    peer: Peer, channel: grpc.aio.Channel, call: Call, problem: BaseException, kind: type
) -> None:
    peer.behave = raising(problem)
    before = sum(count("reelgate_unexpected_errors_total", where=method) for method in SHAPES)
    with capture_logs():
        error = await raised(call, channel)
    assert type(error) is kind
    assert "db-7" not in error.message
    after = sum(count("reelgate_unexpected_errors_total", where=method) for method in SHAPES)
    assert after == before


async def test_a_method_that_is_not_written_yet_says_so_and_is_no_accident(
    peer: Peer, channel: grpc.aio.Channel
) -> None:
    quota: Any = quota_pb2_grpc.QuotaServiceStub(channel)
    storage: Any = storage_pb2_grpc.StorageServiceStub(channel)
    method = "/reelgate.quota.v1.QuotaService/Admit"
    with capture_logs() as logs:
        with pytest.raises(Unimplemented, match="not available in this version"), rpc_errors():
            await quota.Admit(quota_pb2.AdmitRequest())
        with pytest.raises(Unimplemented, match="not available in this version"), rpc_errors():
            await anext(aiter(storage.Sweep(storage_pb2.SweepRequest())))
    assert logs == []
    assert count("reelgate_unexpected_errors_total", where=method) == 0


async def test_a_not_implemented_error_of_our_own_code_is_an_accident(
    peer: Peer, channel: grpc.aio.Channel
) -> None:
    peer.behave = raising(NotImplementedError())
    with capture_logs() as logs:
        assert type(await raised(unary_unary, channel)) is Internal
    assert [entry["event"] for entry in logs] == ["unexpected_error"]


async def test_a_method_nobody_knows_is_unimplemented_and_adds_no_series(
    channel: grpc.aio.Channel,
) -> None:
    for number in range(3):
        unknown: Any = channel.unary_unary(f"/no.such.Service/Method{number}")
        with pytest.raises(Unimplemented), rpc_errors():
            await unknown(b"")
    served = [
        sample.labels["method"]
        for metric in REGISTRY.collect()
        if metric.name.startswith(("reelgate_rpc_served", "reelgate_rpc_in_flight"))
        for sample in metric.samples
    ]
    assert not any("no.such" in method for method in served)


async def test_a_peer_that_is_not_there_is_unavailable(peer: Peer) -> None:
    async with make_channel("127.0.0.1:1") as nowhere:
        error = await raised(unary_unary, nowhere)
    assert type(error) is Unavailable
    assert "127.0.0.1" not in error.message


async def test_a_message_over_the_limit_is_refused_in_a_sentence(
    channel: grpc.aio.Channel,
) -> None:
    stub: Any = quota_pb2_grpc.QuotaServiceStub(channel)
    with pytest.raises(ResourceExhausted), rpc_errors():
        await stub.GetQuota(quota_pb2.GetQuotaRequest(user_id="x" * (5 << 20)))


async def test_calls_are_counted_on_both_sides(
    peer: Peer, channel: grpc.aio.Channel, call: Call
) -> None:
    method = next(name for name, one in SHAPES.items() if one is call)

    def counted() -> tuple[float, ...]:
        return (
            count("reelgate_rpc_served_seconds_count", method=method, code="OK"),
            count("reelgate_rpc_served_seconds_count", method=method, code="NOT_FOUND"),
            count("reelgate_rpc_sent_total", method=method),
            count("reelgate_rpc_failed_total", code="NOT_FOUND"),
        )

    before = counted()
    await call(channel)
    peer.behave = raising(NotFound("No."))
    await raised(call, channel)
    # The server counts a call when its answer is out, which the client may have before.
    async with asyncio.timeout(5):
        while count("reelgate_rpc_in_flight", method=method):
            await asyncio.sleep(0.001)
    assert [now - then for now, then in zip(counted(), before, strict=True)] == [1, 1, 2, 1]


async def test_a_unary_call_ends_at_the_servers_own_limit_when_its_client_gives_none(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert UNARY_LIMIT_SECONDS == 60
    monkeypatch.setattr("services.kernel.grpc_interceptor.UNARY_LIMIT_SECONDS", 0.1)
    ended = asyncio.Event()

    async def behave() -> None:
        try:
            await asyncio.sleep(30)
        finally:
            ended.set()

    peer.behave = behave
    metadata = (("authorization", f"Bearer {context.bearer_token.get()}"),)
    async with grpc.aio.insecure_channel(peer.address) as plain:
        stub: Any = quota_pb2_grpc.QuotaServiceStub(plain)
        with pytest.raises(DeadlineExceeded) as caught, rpc_errors():
            await stub.GetQuota(quota_pb2.GetQuotaRequest(), metadata=metadata)
    assert caught.value.retry_after is not None
    assert ended.is_set()

"""What travels with a call: its id, its deadline, and that nobody waits for it any more."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import grpc
import pytest

from reelgate.quota.v1 import quota_pb2, quota_pb2_grpc
from reelgate.storage.v1 import storage_pb2, storage_pb2_grpc
from services.kernel import context
from services.kernel.errors import DeadlineExceeded, Unavailable
from services.kernel.grpc_client import CHANNEL_OPTIONS, make_channel
from services.kernel.grpc_server import SERVER_OPTIONS, make_server, serving
from services.kernel.runtime import background
from services.kernel.status import rpc_errors
from services.kernel.tokens import Verifier
from tests.contract.kernel.peers import SHAPES, Call, Peer, calling, served, unary_unary

pytestmark = pytest.mark.usefixtures("logged_in")


class Waiting:
    """Something to do that takes for ever, and remembers how it ended."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.same_task = False

    async def __call__(self) -> None:
        task = asyncio.current_task()
        self.began.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.same_task = asyncio.current_task() is task
            self.cancelled.set()
            raise


async def within(seconds: float, event: asyncio.Event) -> None:
    async with asyncio.timeout(seconds):
        await event.wait()


async def cancel(outer: asyncio.Future[None]) -> None:
    outer.cancel()
    with suppress(asyncio.CancelledError):
        await outer


async def test_the_request_id_goes_through_all_services(
    verifier: Verifier, peer: Peer, call: Call
) -> None:
    async with served(verifier) as front, calling(front) as to_front, calling(peer) as to_back:
        front.behave = lambda: call(to_back)
        await unary_unary(to_front, metadata=(("x-request-id", "from-the-browser"),))
    assert front.request_ids == peer.request_ids == ["from-the-browser"]


async def test_a_call_without_an_id_gets_one_of_its_own(
    peer: Peer, channel: grpc.aio.Channel
) -> None:
    await unary_unary(channel)
    await unary_unary(channel)
    first, second = peer.request_ids
    assert len(first) == len(second) == 36
    assert first != second


async def test_an_endless_id_is_cut(peer: Peer, channel: grpc.aio.Channel) -> None:
    await unary_unary(channel, metadata=(("x-request-id", "x" * 500),))
    assert peer.request_ids == ["x" * 64]


async def test_the_deadline_goes_from_client_to_server_to_the_next_server(
    verifier: Verifier, peer: Peer
) -> None:
    async with served(verifier) as front, calling(front) as to_front, calling(peer) as to_back:
        front.behave = lambda: unary_unary(to_back)
        await unary_unary(to_front, timeout=5)
        await unary_unary(to_front)
    short, default = zip(front.seconds_left, peer.seconds_left, strict=True)
    assert all(0 < left < 5.2 for left in short)  # gRPC rounds up
    assert all(5.2 < left < 20.2 for left in default)


async def test_a_longer_timeout_of_its_own_does_not_outlive_the_call_being_served(
    verifier: Verifier, peer: Peer
) -> None:
    async with served(verifier) as front, calling(front) as to_front, calling(peer) as to_back:
        front.behave = lambda: unary_unary(to_back, timeout=50)
        await unary_unary(to_front, timeout=5)
    assert peer.seconds_left[0] < 5.2


async def test_a_stream_has_no_deadline_unless_one_is_given(
    peer: Peer, channel: grpc.aio.Channel
) -> None:
    for call in list(SHAPES.values())[1:]:
        await call(channel)
        await call(channel, timeout=5)
    assert peer.seconds_left[::2] == [1_000] * 3
    assert all(left < 5.2 for left in peer.seconds_left[1::2])


async def test_a_deadline_that_passes_ends_the_whole_chain(
    verifier: Verifier, peer: Peer, call: Call
) -> None:
    peer.behave = waiting = Waiting()
    async with served(verifier) as front, calling(front) as to_front, calling(peer) as to_back:
        front.behave = lambda: call(to_back)
        with pytest.raises(DeadlineExceeded):
            await unary_unary(to_front, timeout=0.3)
        await within(5, waiting.cancelled)


async def test_cancelling_reaches_the_handler(
    peer: Peer, channel: grpc.aio.Channel, call: Call
) -> None:
    peer.behave = waiting = Waiting()
    outer = asyncio.ensure_future(call(channel))
    await within(5, waiting.began)
    await cancel(outer)
    await within(5, waiting.cancelled)
    assert waiting.same_task


async def test_cancelling_reaches_the_end_of_a_chain(
    verifier: Verifier, peer: Peer, call: Call
) -> None:
    peer.behave = waiting = Waiting()
    async with served(verifier) as front, calling(front) as to_front, calling(peer) as to_back:
        front.behave = lambda: call(to_back)
        outer = asyncio.ensure_future(unary_unary(to_front))
        await within(5, waiting.began)
        await cancel(outer)
        await within(5, waiting.cancelled)


async def test_a_client_that_is_gone_cancels_the_handler(peer: Peer, call: Call) -> None:
    peer.behave = waiting = Waiting()
    async with calling(peer) as channel:
        outer = asyncio.ensure_future(call(channel))
        await within(5, waiting.began)
    await within(5, waiting.cancelled)
    with suppress(asyncio.CancelledError, Unavailable):
        await outer


async def test_a_broken_off_stream_is_cleaned_up_at_once_and_in_its_own_task(
    verifier: Verifier,
) -> None:
    """The client stops reading while the servicer waits at a `yield`, in the middle of its own task group."""
    ended: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    class Endless(storage_pb2_grpc.StorageServiceServicer):
        async def Download(  # noqa: N802
            self, request: Any, context: Any
        ) -> AsyncIterator[storage_pb2.DownloadResponse]:
            task = asyncio.current_task()
            try:
                async with background() as work:
                    work.start(_for_ever())
                    while True:
                        yield storage_pb2.DownloadResponse(chunk=bytes(256 << 10))
            finally:
                ended.set_result(asyncio.current_task() is task)

    server = make_server(verifier)
    storage_pb2_grpc.add_StorageServiceServicer_to_server(Endless(), server)  # type: ignore[abstract]
    gc.disable()
    try:
        async with (
            serving(server, "127.0.0.1:0", [], drain_seconds=0) as port,
            make_channel(f"127.0.0.1:{port}") as channel,
        ):
            stub: Any = storage_pb2_grpc.StorageServiceStub(channel)
            stream = stub.Download(storage_pb2.DownloadRequest())
            await stream.read()
            await asyncio.sleep(0.1)  # flow control holds the servicer at its yield
            stream.cancel()
            async with asyncio.timeout(5):
                assert await ended
    finally:
        gc.enable()


async def test_leaving_the_loop_that_reads_a_stream_cancels_it(
    peer: Peer, channel: grpc.aio.Channel
) -> None:
    peer.behave = waiting = Waiting()
    stub: Any = storage_pb2_grpc.StorageServiceStub(channel)
    gc.disable()
    try:
        async for _ in stub.Download(storage_pb2.DownloadRequest()):
            break
        await within(5, waiting.cancelled)
    finally:
        gc.enable()


async def test_a_stream_is_read_on_where_it_was_left(peer: Peer, channel: grpc.aio.Channel) -> None:
    stub: Any = storage_pb2_grpc.StorageServiceStub(channel)
    stream = stub.Download(storage_pb2.DownloadRequest())
    await anext(aiter(stream))
    assert len([1 async for _ in stream]) == 1
    assert await stream.code() is grpc.StatusCode.OK


async def _for_ever() -> None:
    await asyncio.Event().wait()


async def test_a_server_that_stops_lets_calls_finish_and_takes_no_new_ones(
    verifier: Verifier, call: Call
) -> None:
    release, began = asyncio.Event(), asyncio.Event()

    async def behave() -> None:
        began.set()
        await release.wait()

    async with asyncio.TaskGroup() as tasks:
        async with served(verifier, drain_seconds=10) as peer:
            peer.behave = behave
            channel = make_channel(peer.address)
            running = tasks.create_task(_ended(call(channel)))
            await began.wait()

            async def release_when_refused() -> None:
                while await _refused(_one_call(peer.address)) is None:
                    pass
                release.set()

            peer.behave = _nothing
            tasks.create_task(release_when_refused())
        assert await running == "finished"
        await channel.close()


async def _one_call(address: str) -> None:
    async with make_channel(address) as channel:
        await unary_unary(channel, timeout=2)


async def _nothing() -> None:
    await asyncio.sleep(0)


async def _ended(call: Any) -> str:
    await call
    return "finished"


async def test_a_call_that_outlasts_the_drain_is_cancelled_and_may_be_tried_again(
    verifier: Verifier, call: Call
) -> None:
    waiting = Waiting()
    async with asyncio.TaskGroup() as tasks:
        async with served(verifier, drain_seconds=0.1) as peer:
            peer.behave = waiting
            channel = make_channel(peer.address)
            running = tasks.create_task(_refused(call(channel)))
            await waiting.began.wait()
        assert await running is not None
        await within(5, waiting.cancelled)
        await channel.close()


async def _refused(call: Any) -> Exception | None:
    try:
        await call
    except Unavailable as error:
        return error
    return None


async def test_a_port_that_is_taken_is_an_os_error(verifier: Verifier, peer: Peer) -> None:
    with pytest.raises(OSError, match=peer.address):
        async with serving(make_server(verifier), peer.address, [], drain_seconds=0):
            pass


async def test_a_servicer_may_write_its_answers_itself(verifier: Verifier) -> None:
    class Writing(storage_pb2_grpc.StorageServiceServicer):
        async def Download(self, request: Any, context: Any) -> None:  # type: ignore[override]  # noqa: N802
            for _ in range(3):
                await context.write(storage_pb2.DownloadResponse())

    server = make_server(verifier)
    storage_pb2_grpc.add_StorageServiceServicer_to_server(Writing(), server)  # type: ignore[abstract]
    async with (
        serving(server, "127.0.0.1:0", [], drain_seconds=0) as port,
        make_channel(f"127.0.0.1:{port}") as channel,
    ):
        stub: Any = storage_pb2_grpc.StorageServiceStub(channel)
        with rpc_errors():
            assert len([1 async for _ in stub.Download(storage_pb2.DownloadRequest())]) == 3


async def test_a_stream_can_be_written_to_message_by_message(
    peer: Peer, channel: grpc.aio.Channel
) -> None:
    stub: Any = storage_pb2_grpc.StorageServiceStub(channel)
    upload = stub.Upload()
    with rpc_errors():
        await upload.write(storage_pb2.UploadRequest())
        await upload.done_writing()
        await upload
    assert len(peer.callers) == 1


async def test_a_restarted_peer_is_found_again_within_seconds(
    verifier: Verifier, peer: Peer
) -> None:
    """A call whose method is idempotent does not even notice: it is repeated for about a second."""
    async with served(verifier) as gone:
        address = gone.address
    server = make_server(verifier)
    quota_pb2_grpc.add_QuotaServiceServicer_to_server(_Answering(), server)  # type: ignore[abstract]
    async with (
        make_channel(address) as channel,
        make_channel(address, quota_pb2.DESCRIPTOR) as patient,
    ):
        assert await _refused(unary_unary(channel)) is not None
        patiently = asyncio.create_task(unary_unary(patient))
        await asyncio.sleep(0.05)
        async with serving(server, address, [], drain_seconds=0), asyncio.timeout(5):
            await patiently
            while await _refused(unary_unary(channel)) is not None:
                pass


async def test_what_a_handler_answered_is_not_asked_again(peer: Peer) -> None:
    async def behave() -> None:
        raise Unavailable("Not now.")

    peer.behave = behave
    async with make_channel(peer.address, quota_pb2.DESCRIPTOR) as patient:
        assert await _refused(unary_unary(patient)) is not None
    assert len(peer.request_ids) == 1


class _Answering(quota_pb2_grpc.QuotaServiceServicer):
    async def GetQuota(self, request: Any, context: Any) -> quota_pb2.GetQuotaResponse:  # noqa: N802
        return quota_pb2.GetQuotaResponse()


def test_a_server_allows_the_pings_that_our_clients_send() -> None:
    """Otherwise it ends an idle connection after 80 s with `too_many_pings`: too long to wait for here."""
    client, server = dict(CHANNEL_OPTIONS), dict(SERVER_OPTIONS)
    allowed_ms = server["grpc.http2.min_ping_interval_without_data_ms"]
    assert client["grpc.keepalive_time_ms"] > allowed_ms
    for side in (client, server):
        assert side["grpc.keepalive_permit_without_calls"] == 1


async def test_the_environments_proxy_is_not_for_our_own_services(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "grpc_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    async with calling(peer) as channel:
        await unary_unary(channel)
    assert len(peer.callers) == 1
    assert context.deadline.get() is None

"""The gateway's GenerationService: works that are asked for, followed, shown and removed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Struct

from reelgate.gateway.v1 import generation_pb2, generation_pb2_grpc
from services.frontend_bff.clients import records
from services.frontend_bff.clients.downloads import Download, Span, byte_range
from services.frontend_bff.schemas.answers import (
    DeletedGeneration,
    Generated,
    Generation,
    GenerationPage,
)
from services.frontend_bff.schemas.requests import GenerateRequest, ListQuery
from services.kernel.errors import Internal
from services.kernel.status import rpc_errors


@dataclass(frozen=True, slots=True)
class Reset:
    """The watcher must forget what it saw; a snapshot follows."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The watcher has seen everything up to `rev`."""

    rev: int


@dataclass(frozen=True, slots=True)
class Changed:
    """A generation as it is now."""

    record: Generation


@dataclass(frozen=True, slots=True)
class Deleted:
    """A generation that is no more."""

    record: DeletedGeneration


Change = Changed | Deleted | Reset | Heartbeat


class GenerationsClient:
    """The caller's generations. Every method raises what the gateway raised."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: generation_pb2_grpc.GenerationServiceAsyncStub = (
            generation_pb2_grpc.GenerationServiceStub(channel)
        )

    async def create(
        self, body: GenerateRequest, idempotency_key: str, request_digest: bytes
    ) -> tuple[Generated, bool]:
        """Asks for a work. The second value tells that an earlier call with the same key had asked for it."""
        request = generation_pb2.CreateGenerationRequest(
            model=body.model,
            prompt=body.prompt,
            media_type=records.MEDIA_TYPE_NUMBER[body.media_type]
            if body.media_type
            else records.ANY_MEDIA_TYPE,
            orientation=body.orientation or "",
            duration=_duration(body.duration_seconds),
            count=body.n or 0,
            image_url=body.image_url or "",
            input_object_ids=body.input_object_ids or (),
            cache=body.cache or "",
            idempotency_key=idempotency_key,
            request_digest=request_digest,
        )
        if body.parameters is not None:
            parameters = Struct()
            parameters.update(body.parameters)
            request.parameters.CopyFrom(parameters)
        with rpc_errors():
            answer = await self._stub.CreateGeneration(request)
        return records.generated(answer.generation), answer.replayed

    async def get(self, generation_id: str) -> Generation:
        """One generation."""
        request = generation_pb2.GetGenerationRequest(generation_id=generation_id)
        with rpc_errors():
            return records.generation((await self._stub.GetGeneration(request)).generation)

    async def list(self, query: ListQuery) -> GenerationPage:
        """A page, newest first."""
        request = generation_pb2.ListGenerationsRequest(
            statuses=[records.STATUS_NUMBER[name] for name in query.status],
            storage_types=[records.STORAGE_NUMBER[name] for name in query.storage_type],
            media_types=[records.MEDIA_TYPE_NUMBER[name] for name in query.media_type],
            query=query.q,
            page_size=query.page_size,
            page_token=query.page_token,
            include_total="total" in query.include,
            include_counts="counts" in query.include,
        )
        with rpc_errors():
            answer = await self._stub.ListGenerations(request)
        page: GenerationPage = {
            "items": [records.generation(one) for one in answer.generations],
            "next_page_token": answer.next_page_token or None,
        }
        if request.include_total:
            page["total"] = answer.total
        if request.include_counts:
            videos, images = answer.video_count, answer.image_count
            page["counts"] = {"all": videos + images, "video": videos, "image": images}
        return page

    async def cancel(self, generation_id: str) -> Generation:
        """Ends a pending or generating one."""
        request = generation_pb2.CancelGenerationRequest(generation_id=generation_id)
        with rpc_errors():
            return records.generation((await self._stub.CancelGeneration(request)).generation)

    async def retry(self, generation_id: str) -> Generated:
        """Runs a failed or cancelled one again."""
        request = generation_pb2.RetryGenerationRequest(generation_id=generation_id)
        with rpc_errors():
            return records.generated((await self._stub.RetryGeneration(request)).generation)

    async def save(self, generation_id: str) -> Generation:
        """Puts an upstream result into storage."""
        request = generation_pb2.SaveGenerationRequest(generation_id=generation_id)
        with rpc_errors():
            answer = await self._stub.SaveGeneration(request, timeout=_SAVE_LIMIT_SECONDS)
        return records.generation(answer.generation)

    async def delete(self, generation_id: str) -> None:
        """Removes one with its bytes."""
        request = generation_pb2.DeleteGenerationRequest(generation_id=generation_id)
        with rpc_errors():
            await self._stub.DeleteGeneration(request)

    async def watch(self, after_rev: int) -> AsyncIterator[Change]:
        """Every change after `after_rev` (0: a snapshot first). Ends the call when it is closed."""
        call = self._stub.WatchGenerations(
            generation_pb2.WatchGenerationsRequest(after_rev=after_rev)
        )
        try:
            with rpc_errors():
                async for message in call:
                    yield _change(message)
        finally:
            call.cancel()

    @asynccontextmanager
    async def download(self, object_id: str, span: Span) -> AsyncIterator[Download]:
        """Bytes of a result that lies at its upstream."""
        request = generation_pb2.DownloadMediaRequest(
            object_id=object_id,
            range=byte_range(span),
        )
        call = self._stub.DownloadMedia(request)
        messages = aiter(call)
        try:
            with rpc_errors():
                first = await anext(messages, None)
            if first is None or first.WhichOneof("part") != "header":
                raise Internal("The source sent no header.")
            header = first.header
            yield Download(
                header.content_type,
                header.size_bytes,
                header.offset,
                header.length,
                header.file_name,
                _chunks(messages),
            )
        finally:
            call.cancel()


_SAVE_LIMIT_SECONDS = 120.0


def _duration(seconds: float | None) -> Duration | None:
    if seconds is None:
        return None
    message = Duration()
    message.FromMilliseconds(round(seconds * 1000))
    return message


def _change(message: generation_pb2.WatchGenerationsResponse) -> Change:
    match message.WhichOneof("event"):
        case "generation":
            return Changed(records.generation(message.generation))
        case "deleted":
            return Deleted({"id": message.deleted.generation_id, "rev": message.deleted.rev})
        case "reset":
            return Reset()
        case _:
            return Heartbeat(message.heartbeat.rev)


async def _chunks(
    messages: AsyncIterator[generation_pb2.DownloadMediaResponse],
) -> AsyncIterator[bytes]:
    with rpc_errors():
        async for message in messages:
            yield message.chunk

"""`GenerationService`."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, Final
from uuid import UUID

import grpc
from google.protobuf.json_format import MessageToDict

from reelgate.gateway.v1 import generation_pb2, generation_pb2_grpc
from services.gateway.catalogue import Wish
from services.gateway.delivery import UpstreamReader
from services.gateway.saves import Saves
from services.gateway.servers.convert import (
    MEDIA_TYPE_NAMES,
    STATUS_NAMES,
    STORAGE_NAMES,
    placeholder,
    to_message,
)
from services.gateway.service import Generations, Request
from services.gateway.store.generations import Filter, IdempotencyKey
from services.gateway.watch import WatchHub
from services.kernel import context as call_context
from services.kernel.errors import InvalidArgument, Unauthenticated, Unimplemented
from services.kernel.ids import parse_id

_MAX_PAGE: Final = 100
_DEFAULT_PAGE: Final = 20
_MAX_QUERY_CHARACTERS: Final = 500
_HEARTBEAT_SECONDS: Final = 15.0


class GenerationServicer(generation_pb2_grpc.GenerationServiceServicer):
    """A user's generations, over gRPC."""

    def __init__(
        self, generations: Generations, saves: Saves, hub: WatchHub, reader: UpstreamReader
    ) -> None:
        self._generations = generations
        self._saves = saves
        self._hub = hub
        self._reader = reader
        self.stopping = asyncio.Event()

    async def CreateGeneration(self, request: Any, context: Any) -> Any:
        """Admits and answers at once."""
        caller = call_context.caller()
        wish = Wish(
            media_type=MEDIA_TYPE_NAMES.get(request.media_type, ""),
            orientation=request.orientation,
            duration_seconds=request.duration.ToMilliseconds() / 1000
            if request.HasField("duration")
            else None,
            count=request.count,
            parameters=MessageToDict(request.parameters),
        )
        if request.input_object_ids:
            raise InvalidArgument(
                "Reference images are not supported yet.", field="input_object_ids"
            )
        generation_id, row, replayed = await self._generations.create(
            UUID(caller.subject),
            UUID(caller.api_key_id) if caller.api_key_id else None,
            Request(request.model, request.prompt, wish, request.image_url),
            _key(request),
        )
        message = placeholder(generation_id)
        if row is not None:
            message = to_message((await self._generations.views([row]))[0])
        return generation_pb2.CreateGenerationResponse(generation=message, replayed=replayed)

    async def GetGeneration(self, request: Any, context: Any) -> Any:
        """One of the caller's."""
        view = await self._generations.get(_caller_id(), _generation_id(request))
        return generation_pb2.GetGenerationResponse(generation=to_message(view))

    async def ListGenerations(self, request: Any, context: Any) -> Any:
        """A page of them."""
        owner: UUID | None = _caller_id()
        if request.all_users:
            call_context.require_admin()
            owner = None
        if len(request.query) > _MAX_QUERY_CHARACTERS or "\x00" in request.query:
            raise InvalidArgument("The search text is too long or has a NUL character.", field="q")
        match = Filter(
            user_id=owner,
            statuses=_names(request.statuses, STATUS_NAMES, "status"),
            storage_types=_names(request.storage_types, STORAGE_NAMES, "storage_type"),
            media_types=_names(request.media_types, MEDIA_TYPE_NAMES, "media_type"),
            query=request.query,
        )
        size = request.page_size or _DEFAULT_PAGE
        if not 1 <= size <= _MAX_PAGE:
            raise InvalidArgument(f"page_size must be 1 to {_MAX_PAGE}.", field="page_size")
        page = await self._generations.page(
            match,
            before=parse_id(request.page_token, "page_token") if request.page_token else None,
            page_size=size,
            counted=request.include_total or request.include_counts,
        )
        return generation_pb2.ListGenerationsResponse(
            generations=[to_message(view) for view in page.views],
            next_page_token="" if page.next_before is None else str(page.next_before),
            total=page.total if request.include_total else -1,
            video_count=page.videos if request.include_counts else -1,
            image_count=page.images if request.include_counts else -1,
        )

    async def CancelGeneration(self, request: Any, context: Any) -> Any:
        """Ends an active one."""
        view = await self._generations.cancel(_caller_id(), _generation_id(request))
        return generation_pb2.CancelGenerationResponse(generation=to_message(view))

    async def DeleteGeneration(self, request: Any, context: Any) -> Any:
        """Takes it away."""
        erased = await self._generations.delete(_caller_id(), _generation_id(request))
        return generation_pb2.DeleteGenerationResponse(erased=erased)

    async def WatchGenerations(self, request: Any, context: Any) -> AsyncIterator[Any]:
        """Every change, in the order of commit, until the token ends or the server stops."""
        caller = call_context.caller()
        if request.after_rev < 0:
            raise InvalidArgument("after_rev must not be negative.", field="after_rev")
        response = generation_pb2.WatchGenerationsResponse
        said_at = 0.0
        async for changes in self._hub.changes(UUID(caller.subject), request.after_rev):
            if changes.reset:
                yield response(reset=generation_pb2.WatchReset())
            views = await self._generations.views(changes.generations)
            events = [
                (view.generation.rev, response(generation=to_message(view))) for view in views
            ]
            for generation_id, rev in changes.deleted:
                gone = generation_pb2.DeletedGeneration(generation_id=str(generation_id), rev=rev)
                events.append((rev, response(deleted=gone)))
            for _, event in sorted(events, key=lambda pair: pair[0]):
                yield event
            if time.time() >= caller.expires_at:
                raise Unauthenticated(
                    "The token has expired. Log in again.", reason="TOKEN_EXPIRED"
                )
            if self.stopping.is_set():
                return
            if time.monotonic() - said_at >= _HEARTBEAT_SECONDS:
                said_at = time.monotonic()
                yield response(heartbeat=generation_pb2.WatchHeartbeat(rev=changes.rev))

    async def DownloadMedia(self, request: Any, context: Any) -> AsyncIterator[Any]:
        """Bytes that lie at an upstream."""
        medium_id = parse_id(request.object_id, "object_id")
        wanted = request.range
        if wanted.length < 0:
            raise InvalidArgument("length must not be negative.", field="range.length")
        response = generation_pb2.DownloadMediaResponse
        async with self._reader.open(
            _caller_id(), medium_id, wanted.offset, wanted.length
        ) as opened:
            yield response(
                header=generation_pb2.DownloadMediaHeader(
                    content_type=opened.content_type,
                    size_bytes=opened.size_bytes,
                    offset=opened.offset,
                    length=opened.length,
                    file_name=opened.file_name,
                )
            )
            async for chunk in opened.chunks:
                yield response(chunk=chunk)

    async def RetryGeneration(self, request: Any, context: Any) -> Any:
        """Comes with a later version."""
        raise Unimplemented(
            "Retrying is not available in this version yet. Generate it again instead."
        )

    async def SaveGeneration(self, request: Any, context: Any) -> Any:
        """Answers when it is stored."""
        view = await self._saves.save(_caller_id(), _generation_id(request))
        return generation_pb2.SaveGenerationResponse(generation=to_message(view))

    async def AdoptGeneration(self, request: Any, context: Any) -> Any:
        """Comes with a later version."""
        raise Unimplemented("Adopting a running task is not available in this version yet.")

    async def ResolveGeneration(self, request: Any, context: Any) -> Any:
        """Comes with a later version."""
        raise Unimplemented("Deciding about unknown submits is not available in this version yet.")


def add_to(server: grpc.aio.Server, servicer: GenerationServicer) -> tuple[str, ...]:
    """Serves it; the full names of what is served."""
    generation_pb2_grpc.add_GenerationServiceServicer_to_server(servicer, server)
    return (generation_pb2.DESCRIPTOR.services_by_name["GenerationService"].full_name,)


def _caller_id() -> UUID:
    return UUID(call_context.caller().subject)


def _generation_id(request: Any) -> UUID:
    return parse_id(request.generation_id, "generation_id")


def _names(numbers: Any, names: dict[Any, str], field: str) -> list[str]:
    for number in numbers:
        if number not in names:
            raise InvalidArgument(f"Unknown {field} {number}.", field=field)
    return [names[number] for number in numbers]


def _key(request: Any) -> IdempotencyKey | None:
    if not request.idempotency_key:
        return None
    if len(request.idempotency_key) > 255 or not request.idempotency_key.isprintable():
        raise InvalidArgument(
            "The Idempotency-Key must be 1 to 255 printable characters.", field="idempotency_key"
        )
    if len(request.request_digest) != 32:
        raise InvalidArgument("A key needs the SHA-256 of the request.", field="request_digest")
    return IdempotencyKey(request.idempotency_key, request.request_digest)

"""The storage service as the gateway calls it."""

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from reelgate.common.v1 import media_pb2
from reelgate.storage.v1 import storage_pb2, storage_pb2_grpc
from services.gateway.clients.runs import run_message
from services.gateway.clients.tokens import OwnTokens
from services.gateway.generations import Generation, Tier
from services.gateway.providers.port import Source
from services.kernel.errors import Unavailable
from services.kernel.status import rpc_errors

STORAGE_CONTRACT: Final = storage_pb2.DESCRIPTOR

_OBJECTS_PAGE: Final = 1000
_MEDIA_TYPES: Final = {"video": media_pb2.MEDIA_TYPE_VIDEO, "image": media_pb2.MEDIA_TYPE_IMAGE}
_TIERS: Final[Mapping[int, Tier]] = {storage_pb2.TIER_S3: "s3", storage_pb2.TIER_LOCAL: "local"}


@dataclass(frozen=True, slots=True)
class Stored:
    """An object as storage has it."""

    object_id: UUID
    tier: Tier
    content_type: str
    size_bytes: int
    width: int
    height: int
    duration_seconds: float | None

    def facts(self) -> Mapping[str, Any]:
        """By the names of the columns of `media`."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class IngestStep:
    """How far an ingest is; `stored` is set at its end. `total_bytes` 0 means not known."""

    done_bytes: int
    total_bytes: int
    stored: Stored | None


@dataclass(frozen=True, slots=True)
class Link:
    """Where a reader finds an object; empty when he has to come through our media route.

    Beside it what storage knows by now and did not when the object was kept: pixels and seconds, 0 and None before.
    """

    url: str = ""
    thumbnail_url: str = ""
    has_thumbnail: bool = False
    width: int = 0
    height: int = 0
    duration_seconds: float | None = None


class StorageClient:
    """The storage service."""

    def __init__(self, channel: grpc.aio.Channel, tokens: OwnTokens) -> None:
        self._stub: Any = storage_pb2_grpc.StorageServiceStub(channel)
        self._tokens = tokens

    async def ingest(
        self, generation: Generation, token: int, index: int, source: Source
    ) -> AsyncGenerator[IngestStep]:
        """Has a result kept; the last step carries what was stored."""
        created = Timestamp()
        created.FromDatetime(generation.created_at)
        request = storage_pb2.IngestRequest(
            run=run_message(generation, token),
            index=index,
            owner_id=str(generation.user_id),
            media_type=_MEDIA_TYPES[generation.media_type],
            source=storage_pb2.Source(
                url=source.url, headers=source.headers, trusted_origin=source.trusted_origin
            ),
            generation_create_time=created,
        )
        with rpc_errors():
            call = self._stub.Ingest(
                request, metadata=self._tokens.metadata(generation.user_id, "storage")
            )
            try:
                async for answer in call:
                    stored = _stored(answer.object) if answer.HasField("object") else None
                    yield IngestStep(answer.done_bytes, answer.total_bytes, stored)
            finally:
                call.cancel()

    async def tombstone(self, generation: Generation, token: int) -> None:
        """Deletes what the run left, and forbids more.

        Bytes that can not be deleted now (S3 is away) are storage's to delete when they can: it has it in writing.
        """
        request = storage_pb2.TombstoneRequest(
            run=run_message(generation, token), owner_id=str(generation.user_id)
        )
        with _removal_may_wait(), rpc_errors():
            await self._stub.Tombstone(
                request, metadata=self._tokens.metadata(generation.user_id, "storage")
            )

    async def delete(self, owner: UUID, object_ids: Sequence[UUID]) -> None:
        """Deletes objects, now or as soon as their tier is reachable."""
        request = storage_pb2.DeleteObjectsRequest(
            object_ids=[str(object_id) for object_id in object_ids]
        )
        with _removal_may_wait(), rpc_errors():
            await self._stub.DeleteObjects(
                request, metadata=self._tokens.metadata(owner, "storage")
            )

    async def links(self, owner: UUID, object_ids: Sequence[UUID]) -> dict[UUID, Link]:
        """Links made now; objects that are not there are missing."""
        if not object_ids:
            return {}
        request = storage_pb2.ResolveUrlsRequest(
            object_ids=[str(object_id) for object_id in object_ids]
        )
        with rpc_errors():
            answer = await self._stub.ResolveUrls(
                request, metadata=self._tokens.metadata(owner, "storage")
            )
        return {UUID(link.object_id): _link(link) for link in answer.urls}

    async def bytes_by_run(self, owner: UUID) -> dict[tuple[UUID, int], int]:
        """What it holds of an owner's generations, by (generation, run)."""
        found: dict[tuple[UUID, int], int] = {}
        request = storage_pb2.ListObjectsRequest(owner_id=str(owner), page_size=_OBJECTS_PAGE)
        while True:
            with rpc_errors():
                page = await self._stub.ListObjects(
                    request, metadata=self._tokens.metadata(owner, "storage")
                )
            for kept in page.objects:
                if kept.generation_id:
                    run = UUID(kept.generation_id), kept.run
                    found[run] = found.get(run, 0) + kept.size_bytes
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token


@contextmanager
def _removal_may_wait() -> Iterator[None]:
    try:
        yield
    except Unavailable as error:
        if error.reason != "REMOVAL_PENDING":
            raise


def _link(message: storage_pb2.ObjectUrl) -> Link:
    return Link(
        message.url,
        message.thumbnail_url,
        message.has_thumbnail,
        message.width,
        message.height,
        _seconds(message),
    )


def _seconds(message: storage_pb2.ObjectUrl | storage_pb2.StoredObject) -> float | None:
    if not message.HasField("duration"):
        return None
    return message.duration.ToTimedelta().total_seconds()


def _stored(message: storage_pb2.StoredObject) -> Stored:
    return Stored(
        UUID(message.id),
        _TIERS[message.tier],
        message.content_type,
        message.size_bytes,
        message.width,
        message.height,
        _seconds(message),
    )

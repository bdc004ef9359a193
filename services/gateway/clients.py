"""Storage and quota as the gateway calls them: plain arguments in, frozen dataclasses and ReelgateErrors out."""

import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal
from uuid import UUID

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from reelgate.common.v1 import media_pb2, run_pb2
from reelgate.quota.v1 import credit_pb2, credit_pb2_grpc, quota_pb2, quota_pb2_grpc
from reelgate.storage.v1 import storage_pb2, storage_pb2_grpc
from services.gateway.generations import Generation, Tier
from services.gateway.prices import Price
from services.gateway.providers.port import Source
from services.kernel.errors import Unavailable
from services.kernel.status import rpc_errors
from services.kernel.tokens import Signer

STORAGE_CONTRACT: Final = storage_pb2.DESCRIPTOR
QUOTA_CONTRACTS: Final = (quota_pb2.DESCRIPTOR, credit_pb2.DESCRIPTOR)

_TOKEN_SECONDS: Final = 300
_TOKEN_REUSE_SECONDS: Final = 120
_TOKEN_CACHE: Final = 10_000
# For what concerns no user in particular.
_NOBODY: Final = UUID(int=0)
_OBJECTS_PAGE: Final = 1000
_RUNS_IN_A_MESSAGE: Final = 5000
_RECONCILE_SECONDS: Final = 120.0
_MEDIA_TYPES: Final = {"video": media_pb2.MEDIA_TYPE_VIDEO, "image": media_pb2.MEDIA_TYPE_IMAGE}
_TIERS: Final[Mapping[int, Tier]] = {storage_pb2.TIER_S3: "s3", storage_pb2.TIER_LOCAL: "local"}


class OwnTokens:
    """Tokens with which the gateway acts for an owner; each is used for two of its five minutes."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self._tokens: dict[tuple[UUID, str], tuple[float, str]] = {}

    def metadata(
        self, owner: UUID, audience: Literal["storage", "quota"]
    ) -> tuple[tuple[str, str]]:
        """What a call for `owner` carries."""
        now = time.monotonic()
        made_at, token = self._tokens.get((owner, audience), (-_TOKEN_SECONDS, ""))
        if now - made_at > _TOKEN_REUSE_SECONDS:
            if len(self._tokens) > _TOKEN_CACHE:
                self._tokens.clear()
            token = self._signer.sign(
                str(owner), audience=(audience,), lifetime_seconds=_TOKEN_SECONDS, actor="gateway"
            )
            self._tokens[owner, audience] = (now, token)
        return (("authorization", f"Bearer {token}"),)


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
            run=_run(generation, token),
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
            run=_run(generation, token), owner_id=str(generation.user_id)
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


class QuotaClient:
    """The quota service."""

    def __init__(self, channel: grpc.aio.Channel, tokens: OwnTokens) -> None:
        self._stub: Any = quota_pb2_grpc.QuotaServiceStub(channel)
        self._credit_stub: Any = credit_pb2_grpc.CreditServiceStub(channel)
        self._tokens = tokens

    async def admit(
        self, generation_id: UUID, run: int, owner: UUID, reserve_bytes: int, price_credits: int
    ) -> None:
        """Reserves room and holds the price.

        Raises ResourceExhausted (INSUFFICIENT_CREDITS, QUOTA_EXCEEDED), FailedPrecondition (RUN_ENDED).
        """
        request = quota_pb2.AdmitRequest(
            run=run_pb2.Run(generation_id=str(generation_id), number=run),
            user_id=str(owner),
            reserve_bytes=reserve_bytes,
            price_credits=price_credits,
        )
        with rpc_errors():
            await self._stub.Admit(request, metadata=self._tokens.metadata(owner, "quota"))

    async def admit_save(self, generation: Generation, token: int, reserve_bytes: int) -> None:
        """Reserves room for a result that was not kept, to keep it after all.

        Raises ResourceExhausted (QUOTA_EXCEEDED), FailedPrecondition (RUN_ENDED, STALE_LEASE).
        """
        request = quota_pb2.AdmitRequest(
            run=_run(generation, token),
            user_id=str(generation.user_id),
            reserve_bytes=reserve_bytes,
            save=True,
        )
        with rpc_errors():
            await self._stub.Admit(
                request, metadata=self._tokens.metadata(generation.user_id, "quota")
            )

    async def settle(
        self, generation: Generation, token: int, stored_bytes: int, *, kept: bool
    ) -> None:
        """Counts what is kept (0 for a result that is left at its upstream) and spends the price.

        Raises ResourceExhausted (QUOTA_EXCEEDED), FailedPrecondition (RUN_ENDED, STALE_LEASE).
        """
        outcome = quota_pb2.RUN_OUTCOME_KEPT if kept else quota_pb2.RUN_OUTCOME_NOT_KEPT
        request = quota_pb2.SettleRequest(
            run=_run(generation, token), stored_bytes=stored_bytes, outcome=outcome
        )
        with rpc_errors():
            await self._stub.Settle(
                request, metadata=self._tokens.metadata(generation.user_id, "quota")
            )

    async def release_unclaimed(self, generation_id: UUID, run: int, owner: UUID) -> None:
        """Gives back what a run holds that no worker has claimed."""
        request = quota_pb2.ReleaseRequest(
            run=run_pb2.Run(generation_id=str(generation_id), number=run), user_id=str(owner)
        )
        with rpc_errors():
            await self._stub.Release(request, metadata=self._tokens.metadata(owner, "quota"))

    async def release(self, generation: Generation, token: int) -> None:
        """Gives back whatever the run holds."""
        request = quota_pb2.ReleaseRequest(
            run=_run(generation, token), user_id=str(generation.user_id)
        )
        with rpc_errors():
            await self._stub.Release(
                request, metadata=self._tokens.metadata(generation.user_id, "quota")
            )

    async def grant(self, user_id: UUID, amount: int, reason: str, request_id: UUID) -> None:
        """Gives a user credits, once for each request."""
        request = credit_pb2.GrantCreditsRequest(
            user_id=str(user_id), amount=amount, reason=reason, request_id=str(request_id)
        )
        with rpc_errors():
            await self._credit_stub.GrantCredits(
                request, metadata=self._tokens.metadata(user_id, "quota")
            )

    async def set_subject(self, user_id: UUID, group_id: UUID | None, version: int) -> None:
        """Says which group a user is in; an older version than the last one is ignored."""
        request = quota_pb2.SetSubjectRequest(
            user_id=str(user_id),
            group_id="" if group_id is None else str(group_id),
            version=version,
        )
        with rpc_errors():
            await self._stub.SetSubject(request, metadata=self._tokens.metadata(user_id, "quota"))

    async def prices(self) -> list[Price]:
        """The prices in force and those to come."""
        request = credit_pb2.ListPricesRequest()
        with rpc_errors():
            answer = await self._credit_stub.ListPrices(
                request, metadata=self._tokens.metadata(_NOBODY, "quota")
            )
        return [
            Price(
                price.model,
                price.duration_seconds,
                price.credits,
                price.effective_time.ToDatetime(UTC),
            )
            for price in answer.prices
        ]

    async def reconcile(
        self,
        user_id: UUID,
        found: Mapping[tuple[UUID, int], int],
        listed_at: datetime,
        *,
        repair: bool,
    ) -> quota_pb2.Recount:
        """Has a user counted by what storage holds of his runs, and repaired when that is asked for."""
        with rpc_errors():
            answer = await self._stub.ReconcileUser(
                _recount_requests(user_id, found, listed_at, repair=repair),
                metadata=self._tokens.metadata(user_id, "quota"),
                timeout=_RECONCILE_SECONDS,
            )
        recount: quota_pb2.Recount = answer.recount
        return recount


def _recount_requests(
    user_id: UUID, found: Mapping[tuple[UUID, int], int], listed_at: datetime, *, repair: bool
) -> Iterator[quota_pb2.ReconcileUserRequest]:
    listed = Timestamp()
    listed.FromDatetime(listed_at)
    yield quota_pb2.ReconcileUserRequest(user_id=str(user_id), repair=repair, list_time=listed)
    runs = [
        quota_pb2.RunBytes(generation_id=str(generation_id), run=number, bytes=size_bytes)
        for (generation_id, number), size_bytes in found.items()
    ]
    for start in range(0, len(runs), _RUNS_IN_A_MESSAGE):
        yield quota_pb2.ReconcileUserRequest(runs=runs[start : start + _RUNS_IN_A_MESSAGE])


@contextmanager
def _removal_may_wait() -> Iterator[None]:
    try:
        yield
    except Unavailable as error:
        if error.reason != "REMOVAL_PENDING":
            raise


def _run(generation: Generation, token: int) -> run_pb2.Run:
    return run_pb2.Run(generation_id=str(generation.id), number=generation.run, lease_token=token)


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

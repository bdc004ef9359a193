"""A completed result from its upstream into storage: room for it, its bytes, then the books. Or back again."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import structlog
from prometheus_client import Counter

from services.gateway.clients import Stored
from services.gateway.generations import (
    NOTICES,
    Generation,
    Lease,
    LeaseLost,
    Media,
    SaveFailure,
    Tier,
)
from services.gateway.worker.ingesting import ingest
from services.gateway.worker.workplace import MAX_CRASHES, Workplace
from services.kernel.errors import (
    Aborted,
    FailedPrecondition,
    InvalidArgument,
    ReelgateError,
    ResourceExhausted,
    Unavailable,
)

log = structlog.get_logger()

SAVES_TOTAL: Final = Counter(
    "reelgate_generation_saves_total",
    "Upstream results that were to be saved, by the tier they are in or the reason why they are not",
    ("outcome",),
)
_CRASHED: Final = SaveFailure("INTERNAL", "Something went wrong on our side. Try again.", {})


class Saving:
    """The stage `storing` of a completed generation. Each step is repeated from the start after a crash.

    That it failed is written down before anything is given back: from then on there is no way but back.
    """

    def __init__(self, workplace: Workplace) -> None:
        self._at = workplace
        self._saves = workplace.saves

    async def go_on(self, lease: Lease) -> None:
        """Saves it, or leaves it where it was; ends the lease."""
        failure = (await self._saves.get(lease.generation.id)).failure
        if failure is None:
            failure = await self._save(lease)
            if failure is None:
                return
            lease = await self._saves.give_up(lease, failure)
        await self._go_back(lease)
        SAVES_TOTAL.labels(failure.reason).inc()
        log.warning("not_saved", reason=failure.reason, detail=failure.message)

    async def _save(self, lease: Lease) -> SaveFailure | None:
        """None when it is saved. What may yet succeed is raised."""
        if lease.generation.crashes >= MAX_CRASHES:
            return _CRASHED
        try:
            kept = await self._keep(lease)
        except FailedPrecondition as error:
            raise LeaseLost from error  # its owner deleted it, or somebody else acts for it
        except (Aborted, InvalidArgument, ResourceExhausted, Unavailable) as error:
            if isinstance(error, Unavailable) and error.reason != "NO_TIER":
                raise
            return _failure(error, lease.generation)
        tier: Tier = "local" if any(stored.tier == "local" for stored in kept) else "s3"
        notice = ("stored_locally", NOTICES["stored_locally"]) if tier == "local" else None
        await self._saves.saved(lease, tier, notice, [stored.facts() for stored in kept])
        SAVES_TOTAL.labels(tier).inc()
        return None

    async def _keep(self, lease: Lease) -> Sequence[Stored]:
        """Has room made, each medium stored, and all of them counted."""
        generation, kept = lease.generation, []
        media = await self._at.store.media(generation)
        await self._at.quota.admit_save(generation, lease.token, _room(generation, media))
        for medium in media:
            _, stored = await ingest(self._at, lease, medium, self._saves.progress)
            await self._saves.kept(lease, stored.object_id)
            kept.append(stored)
        size = sum(stored.size_bytes for stored in kept)
        await self._at.quota.settle(generation, lease.token, size, kept=True)
        return kept

    async def _go_back(self, lease: Lease) -> None:
        generation = lease.generation
        objects = (await self._saves.get(generation.id)).objects
        if objects:
            await self._at.storage.delete(generation.user_id, objects)
        try:
            await self._at.quota.settle(generation, lease.token, 0, kept=False)
        except FailedPrecondition as error:
            raise LeaseLost from error
        await self._saves.given_up(lease)


def _room(generation: Generation, media: Sequence[Media]) -> int:
    """Bytes to ask for: what storage once counted, where it had kept them all before; else the estimate."""
    sizes = [medium.size_bytes for medium in media]
    return sum(sizes) if all(sizes) else generation.reserved_bytes


def _failure(error: ReelgateError, generation: Generation) -> SaveFailure:
    if isinstance(error, Unavailable) or error.reason == "QUOTA_EXCEEDED":
        return SaveFailure(error.reason, error.message, error.metadata)
    if generation.expires_at is not None and generation.expires_at <= datetime.now(UTC):
        return SaveFailure("LINK_EXPIRED", "The link expired before the result was saved.", {})
    said = "The generator's result could not be fetched."
    return SaveFailure("SOURCE_FAILED", said if isinstance(error, Aborted) else error.message, {})

"""From the upstream's link to a kept work: into storage, then into the books."""

import time
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from prometheus_client import Histogram

from services.gateway.generations import UPSTREAM_LINK_LIFE_SECONDS, Lease, LeaseLost, Media
from services.gateway.worker.ingesting import ingest
from services.gateway.worker.workplace import ENDED_TOTAL, Workplace
from services.kernel.errors import (
    Aborted,
    FailedPrecondition,
    InvalidArgument,
    ResourceExhausted,
    Unavailable,
)

log = structlog.get_logger()

STORE_SECONDS: Final = Histogram(
    "reelgate_generation_store_seconds", "From 'the upstream says done' to 'stored'"
)


class Keeping:
    """The stages `storing` and `stored`."""

    def __init__(self, workplace: Workplace) -> None:
        self._at = workplace

    async def keep(self, lease: Lease) -> Lease | None:
        """Has storage fetch each result. Storing is repeated by itself and never generates anew."""
        begin = time.monotonic()
        media = await self._at.store.media(lease.generation)
        for medium in media:
            if medium.tier is not None:
                continue
            try:
                lease, stored = await ingest(self._at, lease, medium, self._at.store.progress)
                await self._at.store.kept(lease, medium.index, stored.facts())
            except Unavailable as error:
                if error.reason != "NO_TIER":
                    raise
                return await self._leave_at_upstream(lease, "not_stored")
            except FailedPrecondition as error:
                raise LeaseLost from error  # its owner ended it, or somebody else acts for it
            except Aborted as error:
                log.warning("source_failed", detail=error.message)
                return await self._at.fail(
                    lease, "upstream_error", "The generator's result could not be fetched."
                )
            except (InvalidArgument, ResourceExhausted) as error:
                log.warning("ingest_refused", reason=error.reason, detail=error.message)
                return await self._at.fail(lease, "storage_error", error.message)
        STORE_SECONDS.observe(time.monotonic() - begin)
        media = await self._at.store.media(lease.generation)
        local = any(medium.tier == "local" for medium in media)
        size = sum(medium.size_bytes for medium in media)
        notice = "stored_locally" if local else None
        return await self._at.store.stored(lease, "local" if local else "s3", size, notice)

    async def _leave_at_upstream(self, lease: Lease, notice: str) -> Lease:
        """The result stays where it is, as long as it stays there; nothing of it counts."""
        return await self._at.store.stored(lease, "upstream", 0, notice)

    async def settle(self, lease: Lease) -> Lease | None:
        """`stored`: counts what is kept, and completes. What does not fit stays at its upstream."""
        generation = lease.generation
        media = await self._at.store.media(generation)
        at_upstream = generation.storage_type == "upstream"
        if at_upstream:
            await self._unkeep(lease, media)
        try:
            await self._at.quota.settle(
                generation, lease.token, generation.size_bytes, kept=not at_upstream
            )
        except ResourceExhausted:
            if _link_ends_at(media) <= datetime.now(UTC):
                return await self._at.fail(lease, "quota_exceeded")
            return await self._leave_at_upstream(lease, "quota_exceeded")
        except FailedPrecondition as error:
            raise LeaseLost from error
        await self._at.store.end_attempts(generation)
        expires_at = _link_ends_at(media) if at_upstream else None
        await self._at.store.complete(lease, expires_at=expires_at)
        ENDED_TOTAL.labels("completed", generation.storage_type, "").inc()
        return None

    async def _unkeep(self, lease: Lease, media: list[Media]) -> None:
        """Deletes what was kept before it was decided, for good, that the result stays at its upstream."""
        kept = [medium.object_id for medium in media if medium.tier is not None]
        if kept:
            await self._at.storage.delete(lease.generation.user_id, kept)
            await self._at.store.unkeep(lease)


def _link_ends_at(media: list[Media]) -> datetime:
    """When the first of the links dies: as the upstream says, else a quarter of an hour from now."""
    said = [
        medium.upstream_expires_at for medium in media if medium.upstream_expires_at is not None
    ]
    return min(said, default=datetime.now(UTC) + timedelta(seconds=UPSTREAM_LINK_LIFE_SECONDS))

"""Which tiers there are, how they feel, and which one is asked first."""

import asyncio
from typing import Final

import structlog

from services.storage.blobs_local import LocalBlobs
from services.storage.blobs_s3 import S3Blobs
from services.storage.measures import TIER_FAILURES_TOTAL, TIER_HEALTHY
from services.storage.objects import Tier
from services.storage.ports import Blobs, TierFailed
from services.storage.store.transfers import Store

log = structlog.get_logger()

_WELL_SECONDS: Final = 10.0
_ILL_SECONDS: Final = 2.0


class Tiers:
    """S3 and local disk, each present or not, healthy or not."""

    def __init__(self, s3: S3Blobs | None, local: LocalBlobs | None, store: Store) -> None:
        self.s3 = s3
        self.local = local
        self._store = store
        self._healthy: set[Tier] = set()
        self._look_again = asyncio.Event()
        for tier in Tier:
            TIER_HEALTHY.labels(tier).set(0)

    def is_healthy(self, tier: Tier) -> bool:
        """Whether it answered when it was last asked to do something."""
        return tier in self._healthy

    def healthy(self) -> list[Blobs]:
        """The tiers that can be used now, the better one first."""
        return [blobs for blobs in self._all() if blobs.tier in self._healthy]

    def get(self, tier: Tier) -> Blobs:
        """The tier where an object lies. Raises TierFailed when it is not configured any more."""
        for blobs in self._all():
            if blobs.tier == tier:
                return blobs
        raise TierFailed(tier, "missing", "this tier is switched off, and objects lie in it")

    def report(self, failure: TierFailed) -> None:
        """A tier failed at its work: it is not used before it answers again."""
        TIER_FAILURES_TOTAL.labels(failure.tier, failure.trouble).inc()
        log.warning(
            "tier_failed", tier=failure.tier, trouble=failure.trouble, detail=failure.detail
        )
        self._set(failure.tier, healthy=False)
        self._look_again.set()

    async def look(self) -> None:
        """Asks every tier how it is, at the same time."""
        async with asyncio.TaskGroup() as group:
            for blobs in self._all():
                group.create_task(self._look_at(blobs))

    async def watch(self) -> None:
        """Keeps looking, more often while one is ill."""
        while True:
            well = all(blobs.tier in self._healthy for blobs in self._all())
            self._look_again.clear()
            try:
                async with asyncio.timeout(_WELL_SECONDS if well else _ILL_SECONDS):
                    await self._look_again.wait()
                # It has just failed: an immediate question would be answered by luck.
                await asyncio.sleep(_ILL_SECONDS)
            except TimeoutError:
                pass
            try:
                await self.look()
            except Exception:
                # The database is away, most likely: what was known stays true until it is back.
                log.warning("tiers_not_looked_at", exc_info=True)

    async def _look_at(self, blobs: Blobs) -> None:
        try:
            if isinstance(blobs, LocalBlobs):
                await self._agree_on_volume(blobs)
            await blobs.check()
        except TierFailed as failure:
            if self.is_healthy(blobs.tier):
                log.warning(
                    "tier_ill", tier=blobs.tier, trouble=failure.trouble, detail=failure.detail
                )
            self._set(blobs.tier, healthy=False)
        else:
            if not self.is_healthy(blobs.tier):
                log.info("tier_well", tier=blobs.tier)
            self._set(blobs.tier, healthy=True)

    async def _agree_on_volume(self, local: LocalBlobs) -> None:
        """All replicas use the volume that the first of them marked, or none."""
        if local.volume is not None:
            return
        found = await local.marked()
        if (agreed := await self._store.agree_on_volume(found)) is not None:
            volume, first = agreed
            await local.use_volume(volume, mark=first and found is None)

    def _set(self, tier: Tier, *, healthy: bool) -> None:
        TIER_HEALTHY.labels(tier).set(int(healthy))
        if healthy:
            self._healthy.add(tier)
        else:
            self._healthy.discard(tier)

    def _all(self) -> list[Blobs]:
        both: tuple[Blobs | None, ...] = (self.s3, self.local)
        return [blobs for blobs in both if blobs is not None]

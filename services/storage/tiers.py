"""Which tiers there are, how they feel, and which one is asked first."""

import asyncio
from typing import Final

import structlog

from services.storage.local.blobs import LocalBlobs
from services.storage.measures import TIER_FAILURES_TOTAL, TIER_HEALTHY
from services.storage.objects import Tier
from services.storage.ports import Blobs, TierFailed
from services.storage.s3.blobs import S3Blobs
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
        self._full: set[Tier] = set()
        self._troubles: dict[Tier, str] = {}
        self._look_again = asyncio.Event()
        for tier in Tier:
            TIER_HEALTHY.labels(tier).set(0)

    def is_healthy(self, tier: Tier) -> bool:
        """Whether it answered when it was last asked to do something."""
        return tier in self._healthy

    def gives_back(self, tier: Tier) -> bool:
        """Whether bytes can be removed from it, most likely: also while it is full."""
        return tier in self._healthy or tier in self._full

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
        self._troubles[failure.tier] = failure.detail
        self._set(failure.tier, healthy=False, full=failure.trouble == "full")
        self._look_again.set()

    def trouble(self, tier: Tier) -> str:
        """Why it can not be used, for the operator; empty when it can."""
        return "" if self.is_healthy(tier) else self._troubles.get(tier, "")

    async def use_s3(self, s3: S3Blobs | None) -> None:
        """Puts another S3 tier in place of the present one; whoever works with that one keeps it to his end."""
        failure = await self._failure_of(s3) if s3 is not None else None
        self.s3 = s3
        if s3 is None:
            self._set(Tier.S3, healthy=False)
            self._troubles.pop(Tier.S3, None)
        else:
            self._feels(Tier.S3, failure)

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
        failure = await self._failure_of(blobs)
        if any(blobs is one for one in self._all()):  # else it was replaced meanwhile
            self._feels(blobs.tier, failure)

    async def _failure_of(self, blobs: Blobs) -> TierFailed | None:
        try:
            if isinstance(blobs, LocalBlobs):
                await self._agree_on_volume(blobs)
            await blobs.check()
        except TierFailed as failure:
            return failure
        return None

    def _feels(self, tier: Tier, failure: TierFailed | None) -> None:
        if failure is None:
            if not self.is_healthy(tier):
                log.info("tier_well", tier=tier)
        else:
            if self.is_healthy(tier):
                log.warning("tier_ill", tier=tier, trouble=failure.trouble, detail=failure.detail)
            self._troubles[tier] = failure.detail
        full = failure is not None and failure.trouble == "full"
        self._set(tier, healthy=failure is None, full=full)

    async def _agree_on_volume(self, local: LocalBlobs) -> None:
        """All replicas use the volume that the first of them marked, or none."""
        if local.volume is not None:
            return
        local.volume = await self._store.agree_on_volume(local.name_volume)

    def _set(self, tier: Tier, *, healthy: bool, full: bool = False) -> None:
        TIER_HEALTHY.labels(tier).set(int(healthy))
        if healthy:
            self._healthy.add(tier)
        else:
            self._healthy.discard(tier)
        if full:
            self._full.add(tier)
        else:
            self._full.discard(tier)

    def _all(self) -> list[Blobs]:
        both: tuple[Blobs | None, ...] = (self.s3, self.local)
        return [blobs for blobs in both if blobs is not None]

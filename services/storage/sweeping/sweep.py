"""Sweeps: bytes without a row and rows without bytes are found, and nothing alive is harmed.

Works are adopted rather than removed; what is garbage is marked by one sweep and removed by a later one; and when
too much of it seems to be, nothing is removed at all.
"""

import time
from collections.abc import Callable
from typing import Final

import structlog
from prometheus_client import Counter, Gauge

from services.kernel.errors import Aborted, FailedPrecondition, ReelgateError, Unavailable
from services.storage.cleanup import Cleanup
from services.storage.objects import Tier
from services.storage.ports import TierFailed
from services.storage.store.removals import RemovalScope
from services.storage.store.sweeps import SweepStore
from services.storage.sweeping.marker import require_ours
from services.storage.sweeping.tier import Counts, SweepRules, TierSweep
from services.storage.tiers import Tiers

log = structlog.get_logger()

SWEEP_STOPPED: Final = Gauge(
    "reelgate_storage_sweep_stopped",
    "1 when the last sweep removed nothing because too much, or what is another installation's, would have gone",
)
SWEEP_ORPHANS: Final = Gauge(
    "reelgate_storage_sweep_orphans", "Keys that the last sweep left marked for removal"
)
SWEEP_MISSING: Final = Gauge(
    "reelgate_storage_sweep_missing", "Objects whose bytes the last sweep did not find"
)
SWEEP_FOREIGN: Final = Gauge(
    "reelgate_storage_sweep_foreign",
    "Keys below our prefix that are not of ours, at the last sweep",
)
SWEEP_ADOPTED_TOTAL: Final = Counter(
    "reelgate_storage_sweep_adopted_total", "Works without a row that sweeps gave one"
)
SWEEP_DELETED_TOTAL: Final = Counter(
    "reelgate_storage_sweep_deleted_total", "Orphans that sweeps removed"
)
SWEEP_LAST_RUN: Final = Gauge(
    "reelgate_storage_sweep_last_run_timestamp_seconds",
    "When the last sweep that came to its end did so, by this process; 0 for none",
)


class Sweeper:
    """Sweeps all tiers that answer."""

    def __init__(
        self,
        store: SweepStore,
        tiers: Tiers,
        cleanup: Cleanup,
        rules: SweepRules,
        is_stopping: Callable[[], bool],
    ) -> None:
        self._store = store
        self._tiers = tiers
        self._cleanup = cleanup
        self._rules = rules
        self._is_stopping = is_stopping

    async def run(self, counts: Counts, *, dry_run: bool) -> None:
        """Sweeps, and says in `counts` how far it is. With `dry_run` nothing changes.

        Raises Aborted when another sweep runs, FailedPrecondition (SWEEP_STOPPED), and Unavailable when a tier fails
        or the process stops: then nothing was removed, and it can simply be run again.
        """
        begin = time.perf_counter()
        async with self._store.only_one() as alone:
            if not alone:
                raise Aborted("Another sweep is under way.", reason="SWEEP_RUNNING")
            try:
                await self._sweep(counts, dry_run=dry_run)
            except TierFailed as failure:
                self._tiers.report(failure)
                raise Unavailable(
                    f"The {failure.tier} tier failed in the middle of the sweep; nothing was removed.",
                    reason="TIER_FAILED",
                    metadata={"tier": failure.tier},
                    retry_after=60,
                ) from None
            except ReelgateError as error:
                if error.reason == "SWEEP_STOPPED":
                    log.warning("sweep_stopped", **_told(counts), error=error.message)
                    if not dry_run:
                        SWEEP_STOPPED.set(1)
                raise
        log.info(
            "swept", dry_run=dry_run, seconds=round(time.perf_counter() - begin, 1), **_told(counts)
        )
        if not dry_run:
            SWEEP_STOPPED.set(0)
            SWEEP_LAST_RUN.set_to_current_time()

    async def _sweep(self, counts: Counts, *, dry_run: bool) -> None:
        tiers = {blobs.tier: blobs for blobs in self._tiers.healthy()}
        if not tiers:
            raise Unavailable("No tier answers.", reason="NO_TIER", retry_after=60)
        if (s3 := tiers.get(Tier.S3)) is not None:
            await require_ours(s3, await self._store.installation(), dry_run=dry_run)
        if not dry_run:
            await self._cleanup.work_off_all()
        began = await self._store.now()
        counts.total = await self._store.count(tiers)
        for blobs in tiers.values():
            await TierSweep(
                blobs, tiers, self._store, self._rules, counts, self._go_on, dry_run=dry_run
            ).run()
        if not dry_run:
            await self._store.unmark_unseen(tiers, began)
            await self._store.forget()
            SWEEP_ORPHANS.set(await self._store.marked())
            SWEEP_MISSING.set(counts.missing)
            SWEEP_FOREIGN.set(counts.foreign)
            SWEEP_ADOPTED_TOTAL.inc(counts.adopted)
        self._require_few(counts)
        await self._remove(counts, dry_run=dry_run)

    def _require_few(self, counts: Counts) -> None:
        too_many = counts.due > self._rules.most_keys
        if too_many or counts.due * 100 > self._rules.most_percent * counts.ours:
            raise FailedPrecondition(
                f"{counts.due} of {counts.ours} keys would be deleted, which is more than a sweep may. None was: look "
                "at what they are before you allow more.",
                reason="SWEEP_STOPPED",
                metadata={
                    "cause": "TOO_MANY",
                    "due_count": str(counts.due),
                    "key_count": str(counts.ours),
                },
            )

    async def _remove(self, counts: Counts, *, dry_run: bool) -> None:
        for tier, names in counts.condemned.items():
            if dry_run:
                counts.deleted += len(names)
                continue
            condemned = await self._store.condemn(tier, names)
            await self._store.unmark(tier, [name.key for name in names])
            counts.deleted += len(condemned)
            SWEEP_DELETED_TOTAL.inc(len(condemned))
            ids = tuple(name.id for name in names if name.key in condemned)
            try:
                await self._cleanup.remove_now(RemovalScope(ids=ids))
            except Unavailable:
                log.warning("orphans_not_removed_yet", tier=tier, count=len(condemned))
        if not dry_run:
            SWEEP_ORPHANS.set(await self._store.marked())

    def _go_on(self) -> None:
        if self._is_stopping():
            raise Unavailable("The storage service is stopping. Sweep again in a moment.")


def _told(counts: Counts) -> dict[str, int]:
    return {
        name: getattr(counts, name)
        for name in (
            *("scanned", "marked", "deleted", "adopted", "missing", "aborted"),
            *("ours", "foreign", "due"),
        )
    }

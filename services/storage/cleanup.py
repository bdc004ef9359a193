"""Bytes that must go are removed until they are gone: at once when somebody waits for it, else in the background."""

import asyncio
from typing import Final

import structlog

from services.kernel.errors import Unavailable
from services.storage.measures import REMOVALS_PENDING, REMOVED_TOTAL
from services.storage.objects import Removal, Tier
from services.storage.ports import TierFailed
from services.storage.store.presigned import PresignedStore
from services.storage.store.removals import CLAIM_SECONDS, RemovalScope, RemovalStore
from services.storage.store.transfers import Store
from services.storage.tiers import Tiers
from services.storage.transfer.running import Running

log = structlog.get_logger()

_AT_ONCE: Final = 8
# With _AT_ONCE and the size of a claim it stays well below the claim's length.
_ONE_SECONDS: Final = 20.0
_WAIT_SECONDS: Final = 15.0
_POLL_SECONDS: Final = 0.1
# A request that began while its link worked may take a while to end.
_PRESIGNED_GRACE_SECONDS: Final = 900.0


class Cleanup:
    """Works off the removals."""

    def __init__(
        self,
        store: Store,
        removals: RemovalStore,
        tiers: Tiers,
        running: Running,
        offers: PresignedStore,
        *,
        interval_seconds: float,
    ) -> None:
        self._interval_seconds = interval_seconds
        self._store = store
        self._removals = removals
        self._tiers = tiers
        self._running = running
        self._offers = offers
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """There is something to remove."""
        self._wake.set()

    async def run(self) -> None:
        """Removes what is due, for ever."""
        while True:
            try:
                await self.work_off()
            except Exception:
                log.warning("cleanup_failed", exc_info=True)
            try:
                async with asyncio.timeout(self._interval_seconds):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()

    async def work_off_all(self) -> None:
        """As `work_off`, and also what a process that died had claimed: its claim must run out first."""
        await self.work_off()
        waited = 0
        while await self._removals.being_removed() and waited < CLAIM_SECONDS:
            await asyncio.sleep(1)
            waited += 1
            await self.work_off()

    async def work_off(self) -> None:
        """Finds transfers that died, and removes what is due and can be."""
        if count := await self._store.expire(self._running.attempts):
            log.info("transfers_expired", count=count)
        if count := await self._offers.expire(_PRESIGNED_GRACE_SECONDS):
            log.info("presigned_uploads_expired", count=count)
        # A tier that does not answer is left alone until it does.
        able = [tier for tier in Tier if self._tiers.gives_back(tier)]
        while claimed := await self._removals.claim(able, None):
            await self._remove(claimed)
        REMOVALS_PENDING.set(await self._removals.pending())

    async def remove_now(self, scope: RemovalScope) -> None:
        """Returns when the scope's bytes are gone.

        Raises Unavailable when that can not be done now; it goes on in the background then.
        """
        failed = False
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                while True:
                    claimed = await self._removals.claim(list(Tier), scope)
                    failed = not await self._remove(claimed)
                    if failed or not await self._removals.left_over(scope):
                        break
                    if not claimed:
                        await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            failed = True
        if failed:
            self.wake()
            raise Unavailable(
                "The bytes could not be deleted yet; storage goes on trying.",
                reason="REMOVAL_PENDING",
                retry_after=5,
            )

    async def _remove(self, removals: list[Removal]) -> bool:
        """Tries each once; False when one failed."""
        if not removals:
            return True
        slots = asyncio.Semaphore(_AT_ONCE)
        done: list[int] = []

        async def remove(one: Removal) -> None:
            async with slots:
                try:
                    async with asyncio.timeout(_ONE_SECONDS):
                        await self._tiers.get(one.tier).remove(one.key, unfinished=one.unfinished)
                except TimeoutError:
                    self._tiers.report(TierFailed(one.tier, "timeout", "a removal took too long"))
                except TierFailed as failure:
                    log.info(
                        "removal_failed",
                        tier=one.tier,
                        trouble=failure.trouble,
                        detail=failure.detail,
                        tries=one.tries,
                    )
                else:
                    REMOVED_TOTAL.labels(one.tier).inc()
                    done.append(one.id)

        try:
            async with asyncio.TaskGroup() as group:
                for one in removals:
                    group.create_task(remove(one))
        finally:
            failed = [one.id for one in removals if one.id not in done]
            await asyncio.shield(self._removals.removed(done, failed))
        return not failed

"""Claims what is due, renews what is held, stops what was lost."""

import asyncio
import time
from typing import Final
from uuid import UUID

import structlog
from prometheus_client import Counter, Gauge

from services.gateway.generations import Lease
from services.gateway.store.leases import LeaseStore
from services.gateway.worker.conduct import Conductor
from services.kernel.postgres import DATABASE_ERRORS, listen

log = structlog.get_logger()

CLAIMED_TOTAL: Final = Counter("reelgate_generations_claimed_total", "Leases taken on generations")
LOST_TOTAL: Final = Counter(
    "reelgate_generations_lease_lost_total", "Leases that were taken away or ran out"
)
HELD: Final = Gauge("reelgate_generations_held", "Generations this worker acts for now")

_CLAIM_BATCH: Final = 50
_IDLE_SECONDS: Final = 1.0


class Worker:
    """Holds up to `capacity` generations; each has a task of its own, which mostly waits."""

    def __init__(
        self, store: LeaseStore, conductor: Conductor, *, lease_seconds: float, capacity: int
    ) -> None:
        self._store = store
        self._conductor = conductor
        self._lease_seconds = lease_seconds
        self._capacity = capacity
        self._held: dict[UUID, tuple[int, asyncio.Task[None]]] = {}
        self._wake = asyncio.Event()
        self._check = asyncio.Event()
        self._stopping = False

    async def run(self, stopping: asyncio.Event) -> None:
        """Works until told to stop; then hands its leases over, so that another worker goes on at once."""
        async with asyncio.TaskGroup() as tasks:
            claiming = tasks.create_task(self._claim_for_ever(tasks))
            renewing = tasks.create_task(self._renew_for_ever())
            await stopping.wait()
            self._stopping = True
            claiming.cancel()
            # Cancelled conductors give their leases back; renewing goes on until they have.
            conducting = [task for _, task in self._held.values()]
            for task in conducting:
                task.cancel()
            if conducting:
                await asyncio.wait(conducting)
            renewing.cancel()

    async def listen(self, direct_url: str) -> None:
        """Wakes the loops when a row is due or its owner has changed it."""
        async for payload in listen(direct_url, "generations_due"):
            if payload is not None and UUID(payload) in self._held:
                self._check.set()
            self._wake.set()

    async def _claim_for_ever(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            room = min(_CLAIM_BATCH, self._capacity - len(self._held))
            leases: list[Lease] = []
            self._wake.clear()
            if room > 0:
                try:
                    leases = await self._store.claim(room, self._lease_seconds)
                except DATABASE_ERRORS as error:
                    log.warning("claim_failed", error=type(error).__name__)
            for lease in leases:
                generation_id = lease.generation.id
                if (old := self._held.get(generation_id)) is not None:
                    # Our own lease ran out or was taken away, and we got the next one: the old task must end first.
                    old[1].cancel()
                    await asyncio.wait([old[1]])
                task = tasks.create_task(self._conduct(lease))
                self._held[generation_id] = (lease.token, task)
            CLAIMED_TOTAL.inc(len(leases))
            HELD.set(len(self._held))
            if len(leases) < room or room <= 0:
                try:
                    async with asyncio.timeout(_IDLE_SECONDS):
                        await self._wake.wait()
                except TimeoutError:
                    pass

    async def _conduct(self, lease: Lease) -> None:
        structlog.contextvars.bind_contextvars(generation_id=str(lease.generation.id))
        try:
            await self._conductor.conduct(lease)
        except asyncio.CancelledError:
            if not self._stopping:
                raise
            await self._hand_over(lease)
        finally:
            held = self._held.get(lease.generation.id)
            if held is not None and held[0] == lease.token:
                del self._held[lease.generation.id]
            self._wake.set()

    async def _hand_over(self, lease: Lease) -> None:
        try:
            async with asyncio.timeout(2):
                await self._store.look_again(lease, 0)
        except (*DATABASE_ERRORS, TimeoutError):
            log.warning("hand_over_failed")  # the lease runs out by itself

    async def _renew_for_ever(self) -> None:
        renewed_at = time.monotonic()
        while True:
            self._check.clear()
            if self._held:
                held = {generation_id: token for generation_id, (token, _) in self._held.items()}
                try:
                    still_held = await self._store.renew(held, self._lease_seconds)
                except DATABASE_ERRORS as error:
                    log.warning("renew_failed", error=type(error).__name__)
                    still_held = (
                        set(held) if time.monotonic() - renewed_at < self._lease_seconds else set()
                    )
                else:
                    renewed_at = time.monotonic()
                self._stop_lost(held, still_held)
            else:
                renewed_at = time.monotonic()
            try:
                async with asyncio.timeout(self._lease_seconds / 3):
                    await self._check.wait()
            except TimeoutError:
                pass

    def _stop_lost(self, held: dict[UUID, int], still_held: set[UUID]) -> None:
        for generation_id, token in held.items():
            current = self._held.get(generation_id)
            if generation_id not in still_held and current is not None and current[0] == token:
                LOST_TOTAL.inc()
                current[1].cancel()

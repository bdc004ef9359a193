"""The transfers of this process: found by object or run to be stopped, and kept alive in the database."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from uuid import UUID
from weakref import WeakValueDictionary

import structlog

from services.kernel.errors import NotFound, ReelgateError, Unavailable
from services.storage.measures import TRANSFERS_RUNNING
from services.storage.objects import LogEntry, Slot
from services.storage.ports import TierFailed
from services.storage.store.runs import stale_lease, tombstoned
from services.storage.store.transfers import Store

log = structlog.get_logger()


class Transfer:
    """One of them; `attempt` while it has its slot. `moves`: its object is there already."""

    def __init__(self, slot: Slot, task: "asyncio.Task[object]", *, moves: bool) -> None:
        self.slot = slot
        self.moves = moves
        self.task = task
        self.attempt: UUID | None = None
        self.entry: LogEntry | None = None
        """What the upload log will say of it."""
        self.stopped: ReelgateError | None = None
        self.ended = asyncio.Event()

    def settle(self) -> None:
        """It is about to leave its slot, one way or the other: losing it from now on says nothing."""
        self.attempt = None

    def reason(self, failure: BaseException) -> str:
        """What the upload log says of this failure."""
        if isinstance(failure, asyncio.CancelledError):
            return self.stopped.reason if self.stopped else "CANCELLED"
        if isinstance(failure, TierFailed):
            return "TIER_FAILED" if self.moves else "NO_TIER"
        return failure.reason if isinstance(failure, ReelgateError) else "INTERNAL"

    def stop(self, reason: ReelgateError) -> None:
        """Ends it with this reason."""
        if self.stopped is None and not self.task.done():
            self.stopped = reason
            self.task.cancel()


class Running:
    """All transfers under way here."""

    def __init__(self, store: Store, *, renew_seconds: float) -> None:
        self._store = store
        self._renew_seconds = renew_seconds
        self._transfers: set[Transfer] = set()
        self._turns: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def transfer(self, slot: Slot, *, moves: bool = False) -> AsyncIterator[Transfer]:
        """Counts the calling task as a transfer while the block runs; being stopped raises the reason from it."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - coroutines run in tasks
        transfer = Transfer(slot, task, moves=moves)
        self._transfers.add(transfer)
        TRANSFERS_RUNNING.inc()
        try:
            yield transfer
        except asyncio.CancelledError:
            # Only our own stop becomes an error; whoever else cancelled the task wants it cancelled.
            if transfer.stopped is not None and task.uncancel() == 0:
                raise transfer.stopped from None
            raise
        finally:
            TRANSFERS_RUNNING.dec()
            self._transfers.discard(transfer)
            transfer.ended.set()

    @property
    def attempts(self) -> set[UUID]:
        """The attempts of all of them."""
        return {one.attempt for one in self._transfers if one.attempt is not None}

    @asynccontextmanager
    async def turn(self, mine: Transfer) -> AsyncIterator[None]:
        """While the block runs no other transfer takes the same slot; behind it those that had it are gone."""
        # Held by whoever waits for it, and forgotten with the last of them.
        lock = self._turns.setdefault(mine.slot.id, asyncio.Lock())
        async with lock:
            yield

            def had_it(one: Transfer) -> bool:
                same = one is not mine and one.slot.id == mine.slot.id
                return same and one.attempt is not None

            if mine.attempt is not None:
                await self._stop(had_it, stale_lease())

    async def stop_run(self, generation_id: UUID, number: int) -> None:
        """Ends the transfers of a run, and waits until they are gone."""

        def of_run(one: Transfer) -> bool:
            run = one.slot.run
            return run is not None and (run.generation_id, run.number) == (generation_id, number)

        await self._stop(of_run, tombstoned())

    async def stop_moves(self, object_ids: Collection[UUID]) -> None:
        """Ends the moves of objects that are gone, and waits until they are too."""
        ids = frozenset(object_ids)
        await self._stop(
            lambda one: one.moves and one.slot.id in ids, NotFound("There is no such object.")
        )

    async def stop_all(self) -> None:
        """Ends every transfer, because the process does."""
        await self._stop(
            lambda _: True, Unavailable("The storage service is stopping. Try again in a moment.")
        )

    async def _stop(self, which: Callable[[Transfer], bool], reason: ReelgateError) -> None:
        chosen = [one for one in self._transfers if which(one)]
        for one in chosen:
            one.stop(reason)
        for one in chosen:
            await one.ended.wait()

    async def keep_alive(self) -> None:
        """Renews the claims of all transfers, for ever; ends those that lost theirs."""
        while True:
            await asyncio.sleep(self._renew_seconds)
            held = {one.attempt: one for one in self._transfers if one.attempt is not None}
            if not held:
                continue
            try:
                known = await self._store.renew(held.keys())
            except Exception:
                log.warning("transfers_not_renewed", count=len(held), exc_info=True)
                continue
            for attempt, one in held.items():
                if one.attempt is None:
                    continue  # settled meanwhile
                if attempt not in known:
                    one.stop(stale_lease())
                elif known[attempt]:
                    one.stop(tombstoned())

"""One generation, from stage to stage. Each step can be repeated from the row after a crash, and is."""

from collections.abc import Awaitable, Callable, Mapping

import structlog

from services.gateway.generations import Lease, LeaseLost
from services.gateway.worker.ending import Ending
from services.gateway.worker.following import Following
from services.gateway.worker.keeping import Keeping
from services.gateway.worker.saving import Saving
from services.gateway.worker.submitting import Submitting
from services.gateway.worker.workplace import MAX_CRASHES, Workplace
from services.kernel.errors import DeadlineExceeded, Unavailable
from services.kernel.postgres import DATABASE_ERRORS

log = structlog.get_logger()

Step = Callable[[Lease], Awaitable[Lease | None]]


class Conductor:
    """Knows how to go on from every stage. A step returns the lease to go on with, or None when it gave it back."""

    def __init__(self, workplace: Workplace) -> None:
        self._at = workplace
        self._submitting = Submitting(workplace)
        self._ending = Ending(workplace)
        self._saving = Saving(workplace)
        keeping = Keeping(workplace)
        self._steps: Mapping[str, Step] = {
            "admitting": self._ending.withdraw,
            "queued": self._submitting.hand_over,
            "submitting": self._submitting.after_interruption,
            "unknown": self._submitting.look_for_lost_submit,
            "generating": Following(workplace).follow,
            "storing": keeping.keep,
            "stored": keeping.settle,
        }

    async def conduct(self, lease: Lease) -> None:
        """Does what there is to do for a leased generation, and gives the lease back."""
        try:
            await self._conduct(lease)
        except LeaseLost:
            log.info("lease_lost")
        except (Unavailable, DeadlineExceeded) as error:
            # Storage or quota is away: nothing is lost, it is tried again until they are back.
            log.warning("waiting_for_service", reason=error.reason)
            await self._at.look_again(lease, 1.0)
        except DATABASE_ERRORS as error:
            log.warning("database_unavailable", error=type(error).__name__)
        except Exception:
            log.exception("conduct_failed", stage=lease.generation.stage)
            await self._at.look_again(lease, 2.0, crashed=True)

    async def late_answers(self) -> None:
        """Waits for submits that outlived their generation's task."""
        await self._submitting.late_answers()

    async def _conduct(self, lease: Lease) -> None:
        generation = lease.generation
        if generation.deleted_at is not None:
            await self._ending.give_back(lease)
            await self._at.store.remove(lease)
            return
        if generation.is_being_saved:
            await self._saving.go_on(lease)
            return
        if generation.is_active and generation.crashes >= MAX_CRASHES:
            sentence = "Something went wrong on our side. Try again."
            lease = await self._at.fail(lease, "storage_error", sentence)
        current: Lease | None = lease
        while current is not None and current.generation.is_active:
            current = await self._steps[current.generation.stage](current)
        if current is None:
            return
        if current.generation.status != "completed":
            await self._ending.give_back(current)
        await self._at.store.nothing_owed(current)

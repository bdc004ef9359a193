"""Reconciles everybody once a day (G9), page by page, each by whichever replica comes first."""

import asyncio
from typing import Final

import structlog
from prometheus_client import Gauge

from services.gateway.reconciliation import Reconciliation
from services.gateway.store.drifts import DriftStore
from services.gateway.store.timers import TimerStore
from services.kernel.errors import ReelgateError
from services.kernel.postgres import DATABASE_ERRORS

log = structlog.get_logger()

DRIFTED_USERS: Final = Gauge(
    "reelgate_drifted_users", "Users whose books were off when they were last compared"
)
DRIFT_BYTES: Final = Gauge(
    "reelgate_drift_bytes", "Bytes that the books of all users are off by, without sign"
)
DRIFT_CREDITS: Final = Gauge(
    "reelgate_drift_credits", "Credits that the books of all users are off by, without sign"
)

_TIMER: Final = "reconciliation"
_PAGE_SECONDS: Final = 600.0
_PAUSE_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 30.0
_RETRY_SECONDS: Final = 60.0


class DailyRound:
    """What a killed replica did not finish, another one does: the timer's row says how far it is."""

    def __init__(
        self,
        reconciliation: Reconciliation,
        drifts: DriftStore,
        timers: TimerStore,
        *,
        interval_seconds: float,
    ) -> None:
        self._reconciliation = reconciliation
        self._drifts = drifts
        self._timers = timers
        self._interval_seconds = interval_seconds
        self._retry_seconds = min(_RETRY_SECONDS, interval_seconds)

    async def go_round_for_ever(self) -> None:
        """Looks whether a page is due and does it, and tells the metrics what is known."""
        while True:
            wait_seconds = min(_LOOK_SECONDS, self._interval_seconds)
            try:
                if await self.page():
                    wait_seconds = _PAUSE_SECONDS
                totals = await self._drifts.totals()
                DRIFTED_USERS.set(totals.users)
                DRIFT_BYTES.set(totals.size_bytes)
                DRIFT_CREDITS.set(totals.credits)
            except DATABASE_ERRORS as error:
                log.warning("reconciliation_not_looked_at", error=type(error).__name__)
            await asyncio.sleep(wait_seconds)

    async def page(self) -> bool:
        """Does the next page if it is due; False when there is no more to do for now."""
        turn = await self._timers.claim(_TIMER, _PAGE_SECONDS)
        if turn is None:
            return False
        try:
            last = await self._reconciliation.page(turn.position)
        except ReelgateError as error:
            log.warning("reconciliation_postponed", reason=error.reason)
            await self._timers.advance(_TIMER, turn.position, self._retry_seconds)
            return False
        if last is None:
            log.info("reconciled")
        await self._timers.advance(_TIMER, last, 0 if last else self._interval_seconds)
        return last is not None

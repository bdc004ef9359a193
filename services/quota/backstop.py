"""Looks now and then for what nobody ended: reservations of runs, and holds of requests."""

import asyncio
from typing import Final

import structlog

from services.quota.ledger import Ledger
from services.quota.service import QuotaService

log = structlog.get_logger()

INTERVAL_SECONDS: Final = 60.0


async def watch(
    runs: QuotaService, ledger: Ledger, interval_seconds: float = INTERVAL_SECONDS
) -> None:
    """Gives up what was abandoned and what expired, now and at every interval, until it is cancelled."""
    while True:
        try:
            if released := await runs.release_abandoned():
                log.warning("abandoned_reservations_released", count=released)
            if refunded := await ledger.refund_expired():
                log.warning("expired_holds_refunded", count=refunded)
        except Exception:
            # A database that is away comes back; the next look is as good as this one.
            log.exception("abandoned_reservations_not_looked_for")
        await asyncio.sleep(interval_seconds)

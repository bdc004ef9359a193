"""Looks now and then for reservations that nobody ended."""

import asyncio
from typing import Final

import structlog

from services.quota.service import QuotaService

log = structlog.get_logger()

INTERVAL_SECONDS: Final = 3600.0


async def watch_for_abandoned(
    service: QuotaService, interval_seconds: float = INTERVAL_SECONDS
) -> None:
    """Gives up abandoned reservations, now and at every interval, until it is cancelled."""
    while True:
        try:
            if released := await service.release_abandoned():
                log.warning("abandoned_reservations_released", count=released)
        except Exception:
            # A database that is away comes back; the next look is as good as this one.
            log.exception("abandoned_reservations_not_looked_for")
        await asyncio.sleep(interval_seconds)

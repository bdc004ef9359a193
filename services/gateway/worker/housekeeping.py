"""What grows with time and is of no use any more."""

import asyncio
from typing import Final

import structlog

from services.gateway.store.generations import GenerationStore
from services.gateway.store.people import PeopleStore
from services.kernel.postgres import DATABASE_ERRORS

log = structlog.get_logger()

_EVERY_SECONDS: Final = 3600.0


async def tidy_up_for_ever(generations: GenerationStore, people: PeopleStore) -> None:
    """Forgets old deletions, idempotency keys, failed logins and ended sessions, hourly. Several replicas may do it."""
    while True:
        try:
            await generations.forget_old()
            await people.forget_old()
        except DATABASE_ERRORS as error:
            log.warning("housekeeping_failed", error=type(error).__name__)
        await asyncio.sleep(_EVERY_SECONDS)

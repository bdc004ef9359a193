"""What every step of a generation has at hand."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import structlog
from prometheus_client import Counter

from services.gateway.catalogue import Model
from services.gateway.clients import QuotaClient, StorageClient
from services.gateway.generations import Attempt, Generation, Lease
from services.gateway.providers.port import Account, Provider
from services.gateway.store.accounts import AccountStore
from services.gateway.store.leases import LeaseStore
from services.gateway.store.saves import SaveStore
from services.kernel.postgres import DATABASE_ERRORS

log = structlog.get_logger()

ENDED_TOTAL: Final = Counter(
    "reelgate_generations_ended_total",
    "Generations that ended, by how",
    ("status", "storage_type", "error_code"),
)

# Unexpected errors of ours with one generation before it is taken for poison.
MAX_CRASHES: Final = 3


@dataclass(frozen=True, slots=True)
class Patience:
    """How often to ask an upstream, and how long to wait for a submit whose answer was lost; seconds."""

    poll_seconds: float
    lost_after_seconds: float


@dataclass(frozen=True, slots=True)
class Workplace:
    """The stores, the services and the upstreams, and what all steps do with them."""

    store: LeaseStore
    saves: SaveStore
    accounts: AccountStore
    providers: Mapping[str, Provider]
    storage: StorageClient
    quota: QuotaClient
    models: Mapping[str, Model]
    patience: Patience

    async def look_again(self, lease: Lease, delay: float, *, crashed: bool = False) -> None:
        """Gives the lease back for about `delay` seconds."""
        try:
            jittered = delay * random.uniform(0.8, 1.2)  # noqa: S311 - jitter
            await self.store.look_again(lease, jittered, crashed=crashed)
        except DATABASE_ERRORS as error:
            log.warning("database_unavailable", error=type(error).__name__)

    async def fail(self, lease: Lease, code: str, message: str = "") -> Lease:
        """Ends it without a result; what the run holds is still to be given back."""
        lease = await self.store.fail(lease, code, message)
        ENDED_TOTAL.labels("failed", "none", code).inc()
        log.info("generation_failed", code=code)
        return lease

    async def open_attempt(self, generation: Generation) -> Attempt:
        """The submit that counts: the one that was neither refused nor ended."""
        attempts = await self.store.attempts(generation)
        for attempt, state in reversed(attempts):
            if state == "open":
                return attempt
        raise AssertionError("a generation at an upstream has an open attempt")

    async def upstream(self, account_id: UUID) -> tuple[Account, Provider]:
        """An account with the dialect it speaks."""
        account = await self.accounts.get(account_id)
        return account, self.providers[account.dialect]

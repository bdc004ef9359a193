"""All that the service offers, on one database."""

from dataclasses import dataclass
from typing import Self

from services.kernel.postgres import Pool
from services.kernel.runtime import Background
from services.quota.ledger import Ledger
from services.quota.pricing import Pricing
from services.quota.recounting import Recounting
from services.quota.reporting import Reporting
from services.quota.service import QuotaService
from services.quota.store.credits import CreditStore
from services.quota.store.prices import PriceStore
from services.quota.store.quotas import QuotaStore
from services.quota.store.recounts import RecountStore
from services.quota.store.reports import ReportStore


@dataclass(frozen=True, slots=True)
class Books:
    """The rules, each with its part of the books."""

    runs: QuotaService
    ledger: Ledger
    pricing: Pricing
    recounting: Recounting
    reporting: Reporting

    @classmethod
    def on(
        cls, pool: Pool, work: Background, default_bytes: int = 0, new_user_credits: int = 0
    ) -> Self:
        """Those of a database that is up to date, with the installation's defaults; `work` outlives every call."""
        return cls(
            QuotaService(QuotaStore(pool, work, default_bytes, new_user_credits)),
            Ledger(CreditStore(pool, new_user_credits)),
            Pricing(PriceStore(pool)),
            Recounting(RecountStore(pool)),
            Reporting(ReportStore(pool, default_bytes)),
        )

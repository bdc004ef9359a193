"""What storage costs a month, at the list prices of R2 and S3. Free allowances are not taken off."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Final

from services.kernel.errors import InvalidArgument
from services.storage.metering import MeterReader
from services.storage.store.usage import UsageStore, Use

_GB: Final = 1_000_000_000
_MONTH: Final = timedelta(days=30)
# A few requests in the first minutes of a month say nothing about the month.
_LEAST_PERIOD: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Prices:
    """US dollars: for a gigabyte kept a month, for a million operations, for a gigabyte that goes out."""

    gb_month: float
    million_writes: float
    million_reads: float
    egress_gb: float

    def month(self, stored_bytes: int, use: Use, share: float) -> float:
        """Of a month in which `use` happens `share` times."""
        return (
            stored_bytes / _GB * self.gb_month
            + share * use.writes / 1e6 * self.million_writes
            + share * use.reads / 1e6 * self.million_reads
            + share * use.egress_bytes / _GB * self.egress_gb
        )


R2: Final = Prices(gb_month=0.015, million_writes=4.50, million_reads=0.36, egress_gb=0)
"""developers.cloudflare.com/r2/pricing, standard storage, November 2026."""
S3: Final = Prices(gb_month=0.023, million_writes=5.00, million_reads=0.40, egress_gb=0.09)
"""aws.amazon.com/s3/pricing, S3 Standard in us-east-1, first tier, November 2026."""


@dataclass(frozen=True, slots=True)
class Costs:
    """As in the contract. Egress is what went through this service: links are followed past it."""

    stored_bytes: int
    use: Use
    r2_monthly_usd: float
    s3_monthly_usd: float


class Ledger:
    """Adds up what was used."""

    def __init__(self, store: UsageStore, reader: MeterReader) -> None:
        self._store = store
        self._reader = reader

    async def costs(self, start: datetime | None, end: datetime | None) -> Costs:
        """Of whole days (UTC); without a start from the first of the month on, without an end until now.

        Raises InvalidArgument for a start behind the end.
        """
        now = datetime.now(UTC)
        until = min(end or now, now)
        since = start or until.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        if since > until:
            raise InvalidArgument("The time must begin before it ends.", field="start_time")
        await self._reader.flush()
        first = since.astimezone(UTC).date()
        # An end at midnight does not mean the day that begins there.
        last = max(first, (until - timedelta(microseconds=1)).astimezone(UTC).date())
        use = await self._store.of_days(first, last)
        stored = await self._store.stored_bytes()
        begin = datetime.combine(first, time(), UTC)
        behind = datetime.combine(last, time(), UTC) + timedelta(days=1)
        share = _MONTH / max(_LEAST_PERIOD, min(now, behind) - begin)
        return Costs(stored, use, R2.month(stored, use, share), S3.month(stored, use, share))

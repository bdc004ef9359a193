"""E14: list prices, and a month of what was seen."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta

import pytest

from services.kernel.errors import InvalidArgument
from services.storage.costs import R2, S3, Ledger
from services.storage.metering import Meter, MeterReader
from services.storage.store.usage import Use

GB = 1_000_000_000


class Days:
    """In place of the rows: what was done on each day."""

    def __init__(self, stored_bytes: int = 0) -> None:
        self.days: dict[date, Use] = {}
        self.stored = stored_bytes
        self.broken = False

    async def add(self, writes: int, reads: int, egress_bytes: int) -> None:
        if self.broken:
            raise ConnectionError("away")
        before = self.days.get(datetime.now(UTC).date(), Use(0, 0, 0))
        self.days[datetime.now(UTC).date()] = Use(
            before.writes + writes, before.reads + reads, before.egress_bytes + egress_bytes
        )

    async def of_days(self, first: date, last: date) -> Use:
        meant = [use for day, use in self.days.items() if first <= day <= last]
        return Use(
            sum(use.writes for use in meant),
            sum(use.reads for use in meant),
            sum(use.egress_bytes for use in meant),
        )

    async def stored_bytes(self) -> int:
        return self.stored


def ledger(days: Days) -> Ledger:
    return Ledger(days, MeterReader(days, Meter()))  # type: ignore[arg-type]


def test_e14_prices_are_those_of_the_lists() -> None:
    use = Use(writes=1_000_000, reads=1_000_000, egress_bytes=10 * GB)
    assert R2.month(100 * GB, use, 1) == pytest.approx(1.5 + 4.50 + 0.36)
    assert S3.month(100 * GB, use, 1) == pytest.approx(2.3 + 5.00 + 0.40 + 0.90)
    assert R2.month(0, use, 0.5) == pytest.approx((4.50 + 0.36) / 2)


async def test_e14_what_was_done_in_some_days_is_taken_for_a_month_of_thirty() -> None:
    days = Days(stored_bytes=10 * GB)
    for day in range(1, 31):
        days.days[date(2026, 6, day)] = Use(1000, 0, 0)
    start = datetime(2026, 6, 11, tzinfo=UTC)
    costs = await ledger(days).costs(start, start + timedelta(days=10))
    assert costs.use.writes == 10_000
    assert costs.stored_bytes == 10 * GB
    assert costs.r2_monthly_usd == pytest.approx(0.15 + 30_000 / 1e6 * 4.50)
    assert costs.s3_monthly_usd == pytest.approx(0.23 + 30_000 / 1e6 * 5.00)


async def test_e14_without_times_it_is_this_month_so_far() -> None:
    days, now = Days(), datetime.now(UTC)
    days.days[now.date()] = Use(5, 7, 11)
    days.days[now.replace(day=1).date() - timedelta(days=1)] = Use(1000, 1000, 1000)
    costs = await ledger(days).costs(None, None)
    assert costs.use == Use(5, 7, 11)


async def test_e14_a_time_that_ends_before_it_begins_is_refused() -> None:
    now = datetime.now(UTC)
    with pytest.raises(InvalidArgument):
        await ledger(Days()).costs(now, now - timedelta(days=1))


async def test_e14_operations_are_counted_as_they_are_billed() -> None:
    meter = Meter()
    for name in (
        *("PutObject", "UploadPart", "CreateMultipartUpload", "CompleteMultipartUpload"),
        *("ListObjectsV2", "ListParts", "GetObject", "HeadObject", "DeleteObject"),
        "AbortMultipartUpload",
    ):
        meter.operation(name)

    async def chunks() -> AsyncIterator[bytes]:
        yield b"123"
        yield b"4567"

    assert [chunk async for chunk in meter.metered(chunks())] == [b"123", b"4567"]
    assert (meter.writes, meter.reads, meter.read_bytes) == (6, 2, 7)


async def test_e14_what_can_not_be_written_down_is_not_forgotten() -> None:
    meter, days = Meter(), Days()
    reader = MeterReader(days, meter)  # type: ignore[arg-type]
    meter.operation("PutObject")
    days.broken = True
    await reader.flush()
    meter.operation("PutObject")
    assert meter.writes == 2
    days.broken = False
    await asyncio.gather(reader.flush(), reader.flush())
    assert days.days[datetime.now(UTC).date()] == Use(2, 0, 0)

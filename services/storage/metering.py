"""What S3 is asked to do, because it is billed: counted in memory, kept by the day."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

import structlog
from prometheus_client import Counter

from services.storage.store.usage import UsageStore

log = structlog.get_logger()

S3_OPERATIONS_TOTAL: Final = Counter(
    "reelgate_storage_s3_operations_total",
    "Requests to S3 as they are billed: write (class A), read (class B) and free ones",
    ("billed_as",),
)
S3_READ_BYTES_TOTAL: Final = Counter(
    "reelgate_storage_s3_read_bytes_total",
    "Bytes that came out of S3 through this service; what links gave out is not seen",
)

_FLUSH_SECONDS: Final = 5.0
_READS: Final = frozenset({"GetObject", "HeadObject", "HeadBucket"})
_FREE: Final = frozenset({"DeleteObject", "DeleteObjects", "AbortMultipartUpload"})


@dataclass(slots=True)
class Meter:
    """Counts since the last flush. One for the process: the tier that does the work is opened anew now and then."""

    writes: int = 0
    reads: int = 0
    read_bytes: int = 0

    def operation(self, name: str) -> None:
        """One request, by its name in the S3 API. Whatever is neither a read nor free counts as a write."""
        if name in _FREE:
            S3_OPERATIONS_TOTAL.labels("free").inc()
        elif name in _READS:
            self.reads += 1
            S3_OPERATIONS_TOTAL.labels("read").inc()
        else:
            self.writes += 1
            S3_OPERATIONS_TOTAL.labels("write").inc()

    def called(self, model: Any, **_: Any) -> None:
        """The same, as a handler of botocore's `before-call` event."""
        self.operation(model.name)

    async def metered(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The chunks, counted as bytes that came out."""
        async for chunk in chunks:
            self.read_bytes += len(chunk)
            S3_READ_BYTES_TOTAL.inc(len(chunk))
            yield chunk


METER: Final = Meter()


class MeterReader:
    """Writes down what the meter counted."""

    def __init__(self, store: UsageStore, meter: Meter = METER) -> None:
        self._store = store
        self._meter = meter

    async def run(self) -> None:
        """Every few seconds, for ever."""
        while True:
            await asyncio.sleep(_FLUSH_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Adds what was counted to the day; while the database is away it goes on counting."""
        meter = self._meter
        counted = (meter.writes, meter.reads, meter.read_bytes)
        if not any(counted):
            return
        # Taken off at once: others count while this is written, and others flush.
        meter.writes, meter.reads, meter.read_bytes = 0, 0, 0
        try:
            await self._store.add(*counted)
        except BaseException as error:
            meter.writes += counted[0]
            meter.reads += counted[1]
            meter.read_bytes += counted[2]
            if not isinstance(error, Exception):
                raise
            log.warning("usage_not_written", exc_info=True)

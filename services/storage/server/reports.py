"""The calls of the storage protos that operators make; all rules are those of Reports."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from reelgate.storage.v1 import storage_pb2
from services.kernel.errors import InvalidArgument
from services.kernel.ids import parse_id
from services.storage.reports import Reports
from services.storage.server.messages import TIER_OF
from services.storage.store.upload_log import UploadRecord
from services.storage.sweeping.tier import Counts

_Context = grpc.aio.ServicerContext[Any, Any]

_TIERS: Final = {tier: value for value, tier in TIER_OF.items()}
_PROGRESS_SECONDS: Final = 1.0
_DEFAULT_PAGE: Final = 20
_LARGEST_PAGE: Final = 100


class ReportsServicer:
    """Part of the storage servicer; set `reports`."""

    reports: Reports

    async def ListUploads(
        self, request: storage_pb2.ListUploadsRequest, context: _Context
    ) -> storage_pb2.ListUploadsResponse:
        """The token of a page is the id of its last line."""
        if not 0 <= request.page_size <= _LARGEST_PAGE:
            raise InvalidArgument(f"A page has 1 to {_LARGEST_PAGE} lines.", field="page_size")
        count = request.page_size or _DEFAULT_PAGE
        before = parse_id(request.page_token, "page_token") if request.page_token else None
        found = await self.reports.uploads(before, count + 1)
        return storage_pb2.ListUploadsResponse(
            uploads=[_line(one) for one in found[:count]],
            next_page_token=str(found[count - 1].id) if len(found) > count else "",
        )

    async def GetCosts(
        self, request: storage_pb2.GetCostsRequest, context: _Context
    ) -> storage_pb2.GetCostsResponse:
        """Of whole days; egress is what went through us, for links are followed past us."""
        costs = await self.reports.costs(
            _time(request.start_time, "start_time"), _time(request.end_time, "end_time")
        )
        return storage_pb2.GetCostsResponse(
            stored_bytes=costs.stored_bytes,
            write_operations=costs.use.writes,
            read_operations=costs.use.reads,
            egress_bytes=costs.use.egress_bytes,
            r2_monthly_usd=costs.r2_monthly_usd,
            s3_monthly_usd=costs.s3_monthly_usd,
        )

    async def Sweep(
        self, request: storage_pb2.SweepRequest, context: _Context
    ) -> AsyncIterator[storage_pb2.SweepResponse]:
        """Runs it beside the messages about it; it ends when nobody reads them any more."""
        counts = Counts()
        sweep = asyncio.ensure_future(self.reports.sweep(counts, dry_run=request.dry_run))
        try:
            while not sweep.done():
                await asyncio.wait({sweep}, timeout=_PROGRESS_SECONDS)
                yield _counts(counts)
            await sweep
        finally:
            if not sweep.done():
                sweep.cancel()
                with suppress(asyncio.CancelledError):
                    await asyncio.wait({sweep})


def _line(one: UploadRecord) -> storage_pb2.UploadRecord:
    message = storage_pb2.UploadRecord(
        id=str(one.id),
        object_id=str(one.object_id),
        source=one.source,
        size_bytes=one.size_bytes,
        failure_reason=one.failure_reason,
    )
    if one.tier is not None:
        message.tier = _TIERS[one.tier]
    message.duration.FromMilliseconds(one.duration_ms)
    message.create_time.FromDatetime(one.created_at)
    return message


def _counts(counts: Counts) -> storage_pb2.SweepResponse:
    return storage_pb2.SweepResponse(
        scanned_count=counts.scanned,
        marked_count=counts.marked,
        deleted_count=counts.deleted,
        adopted_count=counts.adopted,
        missing_count=counts.missing,
        aborted_count=counts.aborted,
        # Keys without a row are not known before they are seen.
        total_count=max(counts.total, counts.scanned),
    )


def _time(message: Timestamp, field: str) -> datetime | None:
    """None for one that was not given."""
    if not message.seconds and not message.nanos:
        return None
    try:
        return message.ToDatetime(UTC)
    except (ValueError, OverflowError):
        raise InvalidArgument("This is no time.", field=field) from None

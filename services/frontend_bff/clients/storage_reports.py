"""What storage has done and what that costs, for administrators."""

from datetime import datetime
from typing import Final

import grpc

from reelgate.storage.v1 import storage_pb2, storage_pb2_grpc
from services.frontend_bff.schemas.storage_answers import Costs, UploadPage, UploadRecord
from services.frontend_bff.schemas.values import Tier
from services.kernel.errors import InvalidArgument
from services.kernel.status import rpc_errors

_TIER: Final[dict[storage_pb2.Tier.ValueType, Tier]] = {
    storage_pb2.TIER_S3: "s3",
    storage_pb2.TIER_LOCAL: "local",
}


class StorageReportsClient:
    """The upload log and the costs. Every method raises what storage raised."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: storage_pb2_grpc.StorageServiceAsyncStub = storage_pb2_grpc.StorageServiceStub(
            channel
        )

    async def uploads(self, page_size: int, page_token: str) -> UploadPage:
        """A page of the log, newest first."""
        request = storage_pb2.ListUploadsRequest(page_size=page_size, page_token=page_token)
        with rpc_errors():
            page = await self._stub.ListUploads(request)
        return {
            "items": [_record(one) for one in page.uploads],
            "next_page_token": page.next_page_token or None,
        }

    async def costs(self, start: datetime | None, end: datetime | None) -> Costs:
        """The costs of a time; storage decides what is not given."""
        request = storage_pb2.GetCostsRequest()
        if start is not None:
            request.start_time.FromDatetime(start)
        if end is not None:
            request.end_time.FromDatetime(end)
        try:
            with rpc_errors():
                costs = await self._stub.GetCosts(request)
        except InvalidArgument as error:
            error.field = error.field and error.field.removesuffix("_time")
            raise
        return {
            "stored_bytes": costs.stored_bytes,
            "write_operations": costs.write_operations,
            "read_operations": costs.read_operations,
            "egress_bytes": costs.egress_bytes,
            "r2_monthly_usd": costs.r2_monthly_usd,
            "s3_monthly_usd": costs.s3_monthly_usd,
        }


def _record(upload: storage_pb2.UploadRecord) -> UploadRecord:
    return {
        "id": upload.id,
        "object_id": upload.object_id or None,
        "source": upload.source,
        "tier": _TIER.get(upload.tier),
        "size_bytes": upload.size_bytes,
        "duration_ms": upload.duration.ToMicroseconds() / 1000,
        "failure": upload.failure_reason.lower() or None,
        "created_at": upload.create_time.ToJsonString(),
    }

"""The quota service: what the caller may still keep."""

from typing import Final, cast

import grpc

from reelgate.quota.v1 import quota_pb2, quota_pb2_grpc
from services.frontend_bff.schemas.answers import Quota
from services.frontend_bff.schemas.values import QuotaSource
from services.kernel.status import rpc_errors

_SOURCE: Final = {
    number: cast("QuotaSource", name.removeprefix("QUOTA_SOURCE_").lower())
    for name, number in quota_pb2.QuotaSource.items()
}


class QuotaClient:
    """The caller's quota."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: quota_pb2_grpc.QuotaServiceAsyncStub = quota_pb2_grpc.QuotaServiceStub(channel)

    async def get(self) -> Quota:
        """The quota at this moment. Raises what the quota service raised."""
        with rpc_errors():
            quota = (await self._stub.GetQuota(quota_pb2.GetQuotaRequest())).quota
        return {
            "quota_bytes": quota.quota_bytes,
            "used_bytes": quota.used_bytes,
            "reserved_bytes": quota.reserved_bytes,
            "available_bytes": quota.available_bytes,
            "source": _SOURCE[quota.source],
        }

"""The quota service's QuotaService: what people keep, what they may keep, what became of their runs."""

from collections.abc import Sequence
from datetime import date

import grpc

from reelgate.quota.v1 import quota_pb2, quota_pb2_grpc
from services.frontend_bff.clients import quota_records
from services.frontend_bff.schemas.answers import Quota
from services.frontend_bff.schemas.quota_answers import Holding, UsagePage
from services.kernel.status import rpc_errors


class QuotaClient:
    """Quotas, limits and days. Every method raises what the quota service raised."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: quota_pb2_grpc.QuotaServiceAsyncStub = quota_pb2_grpc.QuotaServiceStub(channel)

    async def get(self) -> Quota:
        """The caller's quota at this moment."""
        with rpc_errors():
            answer = await self._stub.GetQuota(quota_pb2.GetQuotaRequest())
        return quota_records.quota(answer.quota)

    async def require_administrator(self) -> None:
        """Raises PermissionDenied for anybody else, by asking for what only administrators are told."""
        with rpc_errors():
            await self._stub.ListUsage(quota_pb2.ListUsageRequest(page_size=1))

    async def holdings(self, user_ids: Sequence[str]) -> list[Holding]:
        """What these users, at most 100, have and may have, in the same order. Administrators only."""
        if not user_ids:
            return []
        with rpc_errors():
            answer = await self._stub.BatchGetUsage(
                quota_pb2.BatchGetUsageRequest(user_ids=user_ids)
            )
        return [quota_records.holding(one) for one in answer.usages]

    async def default_limit(self) -> int:
        """Bytes; 0 means none, -1 no limit. Administrators only."""
        with rpc_errors():
            return (await self._stub.ListLimits(quota_pb2.ListLimitsRequest())).default_bytes

    async def group_limits(self) -> dict[str, int]:
        """Bytes by group id, of groups that ever had a limit; 0 means not set, -1 no limit. Administrators only."""
        with rpc_errors():
            answer = await self._stub.ListLimits(quota_pb2.ListLimitsRequest())
        return {group.group_id: group.quota_bytes for group in answer.groups}

    async def set_user_limit(self, user_id: str, limit_bytes: int) -> None:
        """0 means not set, -1 no limit. Quota takes any id: ask the gateway first whether there is such a user."""
        await self._set(quota_pb2.SetLimitsRequest(user_id=user_id, quota_bytes=limit_bytes))

    async def set_group_limit(self, group_id: str, limit_bytes: int) -> None:
        """As `set_user_limit`, of everybody in a group."""
        await self._set(quota_pb2.SetLimitsRequest(group_id=group_id, quota_bytes=limit_bytes))

    async def set_default_limit(self, limit_bytes: int) -> None:
        """0 means that of the installation, -1 no limit."""
        await self._set(quota_pb2.SetLimitsRequest(default=True, quota_bytes=limit_bytes))

    async def days(
        self, user_id: str, first: date, last: date, page_size: int, page_token: str
    ) -> UsagePage:
        """A page of days. No `user_id` means everybody to an administrator, and the caller to anybody else."""
        request = quota_pb2.ListDailyUsageRequest(
            user_id=user_id,
            first_date=first.isoformat(),
            last_date=last.isoformat(),
            page_size=page_size,
            page_token=page_token,
        )
        with rpc_errors():
            page = await self._stub.ListDailyUsage(request)
        return {
            "first_date": request.first_date,
            "last_date": request.last_date,
            "items": [quota_records.daily_usage(one) for one in page.days],
            "next_page_token": page.next_page_token or None,
        }

    async def _set(self, request: quota_pb2.SetLimitsRequest) -> None:
        with rpc_errors():
            await self._stub.SetLimits(request)

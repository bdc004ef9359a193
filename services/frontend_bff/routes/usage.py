"""What became of each day's works (G6, G7)."""

from datetime import UTC, date, datetime, timedelta
from typing import Final

from services.frontend_bff.routing import Call, Routes
from services.frontend_bff.schemas.quota_answers import UsagePage
from services.frontend_bff.schemas.quota_requests import AllUsageQuery, UsageQuery

routes = Routes("quota")
_MONTH: Final = timedelta(days=29)


@routes.get("/api/v1/sora/usage", also=(400, 503))
async def list_usage(call: Call, query: UsageQuery) -> UsagePage:
    """List one's own days; without dates the last 30.

    A `page_token` belongs to the days that the first page names.
    """
    # To an administrator, nobody's name would mean everybody's.
    caller = await call.clients.identity.me()
    return await _days(call, caller["id"], query)


@routes.get("/api/v1/admin/usage", also=(400, 403, 503))
async def list_all_usage(call: Call, query: AllUsageQuery) -> UsagePage:
    """List the days of one user, or of everybody; without dates the last 30.

    A `page_token` belongs to the days that the first page names.
    """
    # The list itself refuses nobody: it shows to each what he may see.
    await call.clients.quota.require_administrator()
    return await _days(call, query.user_id or "", query)


async def _days(call: Call, user_id: str, query: UsageQuery) -> UsagePage:
    last = query.last_date or datetime.now(UTC).date()
    first = query.first_date or max(last, date.min + _MONTH) - _MONTH
    return await call.clients.quota.days(user_id, first, last, query.page_size, query.page_token)

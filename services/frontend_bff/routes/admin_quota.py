"""The limit of everybody for whom none is set (G1). Quota itself refuses everybody but administrators."""

from services.frontend_bff.routing import Call, Routes
from services.frontend_bff.schemas.quota_answers import DefaultQuota
from services.frontend_bff.schemas.quota_requests import DefaultQuotaForm

routes = Routes("quota")
_DEFAULT = "/api/v1/admin/quota/default"


@routes.get(_DEFAULT, also=(403, 503))
async def get_default_quota(call: Call) -> DefaultQuota:
    """Get the default limit."""
    return {"quota_limit_bytes": await call.clients.quota.default_limit()}


@routes.put(_DEFAULT, also=(400, 403, 413, 503))
async def set_default_quota(call: Call, body: DefaultQuotaForm) -> DefaultQuota:
    """Set the default limit; the answer is the one in force."""
    await call.clients.quota.set_default_limit(body.quota_limit_bytes)
    return {"quota_limit_bytes": await call.clients.quota.default_limit()}

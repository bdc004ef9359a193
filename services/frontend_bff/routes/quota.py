"""What the caller may still keep (G6)."""

from services.frontend_bff.routing import Call, Routes
from services.frontend_bff.schemas.answers import Quota

routes = Routes("quota")


@routes.get("/api/v1/sora/quota", also=(503,))
async def quota(call: Call) -> Quota:
    """Get the byte quota and what is left of it."""
    return await call.clients.quota.get()

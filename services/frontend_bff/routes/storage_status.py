"""Where results can be kept."""

from services.frontend_bff.routing import Call, Routes
from services.frontend_bff.schemas.answers import StorageStatus

routes = Routes("storage")


@routes.get("/api/v1/sora/storage-status", also=(503,))
async def storage_status(call: Call) -> StorageStatus:
    """Tell where results can be kept now."""
    # Storage tells this to everybody; that it takes a session is our contract, so somebody has to check it.
    await call.clients.identity.me()
    return (await call.clients.storage.tiers()).status

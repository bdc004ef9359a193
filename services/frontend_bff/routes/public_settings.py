"""What a page may know before anyone has logged in (H2)."""

from services.frontend_bff.routing import Call, Routes
from services.frontend_bff.schemas.answers import PublicSettings

routes = Routes("settings")


@routes.get("/api/v1/settings/public", needs_token=False, also=(503,))
async def public_settings(call: Call) -> PublicSettings:
    """Get what a page may know before log-in."""
    return await call.clients.catalogue.public_settings()

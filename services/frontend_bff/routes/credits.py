"""What the caller may spend, and where it went (G7)."""

from services.frontend_bff.routing import Call, Routes
from services.frontend_bff.schemas.quota_answers import Credits, TransactionPage
from services.frontend_bff.schemas.quota_requests import PageQuery

routes = Routes("credits")
_CREDITS = "/api/v1/sora/credits"


@routes.get(_CREDITS, also=(503,))
async def get_credits(call: Call) -> Credits:
    """Get the credits."""
    return await call.clients.credits.get()


@routes.get(_CREDITS + "/transactions", also=(400, 503))
async def list_transactions(call: Call, query: PageQuery) -> TransactionPage:
    """List every movement of the credits, newest first."""
    return await call.clients.credits.transactions(query.page_size, query.page_token)

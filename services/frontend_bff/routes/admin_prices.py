"""What works cost (G8)."""

from services.frontend_bff.routing import Call, Routes
from services.frontend_bff.schemas.quota_answers import Price
from services.frontend_bff.schemas.quota_requests import PricesForm

routes = Routes("credits")
_PRICES = "/api/v1/admin/prices"


@routes.get(_PRICES, also=(403, 503))
async def list_prices(call: Call) -> list[Price]:
    """List the prices that were set and are in force or to come, by model, duration and date.

    A model without one costs what the catalogue says.
    """
    # Quota tells them to everybody; that this is an administrator's page is our contract.
    await call.clients.quota.require_administrator()
    return await call.clients.credits.prices()


@routes.post(_PRICES, also=(400, 403, 413, 503))
async def set_prices(call: Call, body: PricesForm) -> list[Price]:
    """Add prices, all or none; the answer lists those in force or to come.

    Of one model and duration the latest that has begun is in force, of equal dates the one set last.
    """
    await call.clients.credits.set_prices(body.prices)
    return await call.clients.credits.prices()

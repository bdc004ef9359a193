"""What can be asked for."""

from services.frontend_bff.routing import Call, Routes
from services.frontend_bff.schemas.answers import Model

routes = Routes("models")


@routes.get("/api/v1/sora/models", also=(503,))
async def models(call: Call) -> list[Model]:
    """List the models, in the order to be shown."""
    return await call.clients.catalogue.models()

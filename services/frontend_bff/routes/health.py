"""Whether this process is well (J1)."""

from services.frontend_bff.routing import Call, Routes
from services.frontend_bff.schemas.answers import Health
from services.kernel.errors import Unavailable

routes = Routes("operation")


@routes.get("/healthz", needs_token=False)
async def healthz(_: Call) -> Health:
    """Tell that the process lives."""
    return {"status": "healthy"}


@routes.get("/health", needs_token=False)
async def health(_: Call) -> Health:
    """Tell that the process lives."""
    return {"status": "healthy"}


@routes.get("/readyz", needs_token=False, also=(503,))
async def readyz(call: Call) -> Health:
    """Tell whether new requests are welcome."""
    if call.stopping.is_set():
        raise Unavailable("This process is about to end.", reason="STOPPING")
    return {"status": "ready"}

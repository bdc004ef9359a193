"""Every route, one file per resource."""

from services.frontend_bff.routes import (
    auth,
    events,
    generations,
    health,
    media,
    models,
    public_settings,
    quota,
    storage_status,
)
from services.frontend_bff.routing import Route

TABLE: tuple[Route, ...] = tuple(
    row
    for resource in (
        public_settings,
        auth,
        generations,
        events,
        media,
        quota,
        models,
        storage_status,
        health,
    )
    for row in resource.routes.table
)

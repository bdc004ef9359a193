"""Every route, one file per resource."""

from services.frontend_bff.routes import (
    admin_storage,
    auth,
    events,
    generations,
    health,
    media,
    models,
    public_settings,
    quota,
    storage_status,
    uploads,
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
        uploads,
        quota,
        models,
        storage_status,
        admin_storage,
        health,
    )
    for row in resource.routes.table
)

"""Every route, one file per resource."""

from services.frontend_bff.routes import (
    admin_groups,
    admin_prices,
    admin_quota,
    admin_storage,
    admin_users,
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
    usage,
)
from services.frontend_bff.routes import credits as credits_
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
        credits_,
        usage,
        models,
        storage_status,
        admin_users,
        admin_groups,
        admin_quota,
        admin_prices,
        admin_storage,
        health,
    )
    for row in resource.routes.table
)

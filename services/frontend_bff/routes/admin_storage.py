"""Where works are kept: settings, their trial, the upload log, the costs (E1, E11, E14).

Storage itself refuses everybody but administrators.
"""

from services.frontend_bff.routing import Call, Routes
from services.frontend_bff.schemas.storage_answers import Costs, S3Settings, Trial, UploadPage
from services.frontend_bff.schemas.storage_requests import (
    CostsQuery,
    S3Change,
    S3Form,
    S3ResetQuery,
    UploadsQuery,
)

routes = Routes("storage")
_S3 = "/api/v1/admin/storage/s3"


@routes.get(_S3, also=(403, 503))
async def get_s3_settings(call: Call) -> S3Settings:
    """Get the S3 settings in force, without the secret."""
    return await call.clients.storage_settings.get()


@routes.put(_S3, also=(400, 403, 409, 413, 503, 504))
async def update_s3_settings(call: Call, body: S3Change) -> S3Settings:
    """Replace the S3 settings; they are in force everywhere within 5 seconds.

    `409 stale_etag`: somebody else has changed them since they were read. `409 objects_left_behind`: kept works
    are not found in the new bucket.
    """
    return await call.clients.storage_settings.update(body)


@routes.delete(_S3, also=(400, 403, 409, 503, 504))
async def reset_s3_settings(call: Call, query: S3ResetQuery) -> S3Settings:
    """Forget what was changed; the settings of the environment are in force again.

    Refused as a change is.
    """
    return await call.clients.storage_settings.reset(
        query.etag, leave_objects_behind=query.leave_objects_behind
    )


@routes.post(_S3 + "/test", also=(400, 403, 413, 503))
async def test_s3_settings(call: Call, body: S3Form) -> Trial:
    """Try S3 settings without keeping them.

    Connects, lists, uploads a picture, fetches it by its link, compares it, asks for CORS and deletes it.
    What fails is a step of the answer, not a status.
    """
    return await call.clients.storage_settings.test(body)


@routes.get("/api/v1/admin/storage/uploads", also=(400, 403, 503))
async def list_uploads(call: Call, query: UploadsQuery) -> UploadPage:
    """List what was uploaded, newest first."""
    return await call.clients.storage_reports.uploads(query.page_size, query.page_token)


@routes.get("/api/v1/admin/storage/costs", also=(400, 403, 503))
async def get_storage_costs(call: Call, query: CostsQuery) -> Costs:
    """Get what is stored and moved, and what that costs a month."""
    return await call.clients.storage_reports.costs(query.start, query.end)

"""Works: asked for, listed, cancelled, saved, run again, removed (D)."""

import hashlib

from services.frontend_bff.routing import Call, Routes
from services.frontend_bff.schemas.answers import Generated, Generation, GenerationPage
from services.frontend_bff.schemas.requests import (
    GenerateRequest,
    GenerationPath,
    IdempotencyHeaders,
    ListQuery,
)

routes = Routes("generations")
_LIST = "/api/v1/sora/generations"
_ONE = _LIST + "/{id}"


@routes.post("/api/v1/sora/generate", status=202, also=(400, 402, 403, 409, 413, 422, 429, 503))
async def generate(call: Call, headers: IdempotencyHeaders, body: GenerateRequest) -> Generated:
    """Ask for a work.

    The answer comes at once; the work happens in the background. `Location` is where to look at it.
    """
    digest = hashlib.sha256(call.raw).digest() if headers.key else b""
    generated, replayed = await call.clients.generations.create(body, headers.key or "", digest)
    call.answer_headers["Location"] = f"{_LIST}/{generated['generation_id']}"
    if replayed:
        call.answer_headers["Idempotency-Replayed"] = "true"
    return generated


@routes.get(_LIST, also=(400, 503))
async def list_generations(call: Call, query: ListQuery) -> GenerationPage:
    """List works, newest first.

    `status`, `storage_type`, `media_type` and `include` are lists with commas between their values.
    """
    return await call.clients.generations.list(query)


@routes.get(_ONE, also=(400, 404, 503))
async def get_generation(call: Call, path: GenerationPath) -> Generation:
    """Get one work."""
    return await call.clients.generations.get(path.id)


@routes.delete(_ONE, status=204, also=(400, 403, 404, 503))
async def delete_generation(call: Call, path: GenerationPath) -> None:
    """Remove a work and its bytes; a running one is cancelled first."""
    await call.clients.generations.delete(path.id)


@routes.post(_ONE + "/cancel", also=(400, 403, 404, 409, 503))
async def cancel_generation(call: Call, path: GenerationPath) -> Generation:
    """End a work that is pending or generating."""
    return await call.clients.generations.cancel(path.id)


@routes.post(_ONE + "/save", also=(400, 403, 404, 410, 429, 502, 503, 504))
async def save_generation(call: Call, path: GenerationPath) -> Generation:
    """Put a result that lies at its upstream into storage.

    `400 not_upstream`: it does not lie there. `410 link_expired`: nor does it any more. `429 quota_exceeded`: there
    is no room for it. `502 source_failed`: the upstream does not give it away. `503 storage_disabled`: there is
    nowhere to put it.
    """
    return await call.clients.generations.save(path.id)


@routes.post(_ONE + "/retry", status=202, also=(400, 402, 403, 404, 409, 429, 501, 503))
async def retry_generation(call: Call, path: GenerationPath) -> Generated:
    """Run a failed or cancelled work again, with the same parameters."""
    generated = await call.clients.generations.retry(path.id)
    call.answer_headers["Location"] = f"{_LIST}/{generated['generation_id']}"
    return generated

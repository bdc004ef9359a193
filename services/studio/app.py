"""The studio's HTTP application."""

import hmac
from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Middleware
from pydantic import ValidationError

from services.studio import images, videos
from services.studio.behaviour import Behaviour
from services.studio.errors import ApiError, Handler, answer_errors
from services.studio.requests import IMAGE_MODELS, VIDEO_MODELS, read_fields
from services.studio.studio import Studio
from services.studio.videos import STUDIO

_LARGEST_BODY = 32 * 2**20
_OPEN = ("/healthz", "/studio/images/")


def make_app(directory: Path, api_key: str) -> web.Application:
    """The application over a data directory; `api_key` is what callers must show as their bearer token."""
    app = web.Application(
        middlewares=[answer_errors, _require_key(api_key)], client_max_size=_LARGEST_BODY
    )
    app[STUDIO] = Studio(directory)
    app.cleanup_ctx.append(_run)
    app.add_routes([*videos.routes(), *images.routes()])
    app.add_routes(
        [
            web.get("/healthz", healthz),
            web.get("/v1/models", models),
            web.get("/studio/submits", submits),
            web.get("/studio/behaviour", show_behaviour),
            web.put("/studio/behaviour", set_behaviour),
            web.delete("/studio/behaviour", reset_behaviour),
        ]
    )
    return app


async def _run(app: web.Application) -> AsyncIterator[None]:
    await app[STUDIO].start()
    yield
    await app[STUDIO].stop()


def _require_key(api_key: str) -> Middleware:
    expected = f"Bearer {api_key}".encode()

    @web.middleware
    async def require_key(request: web.Request, handler: Handler) -> web.StreamResponse:
        shown = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if not request.path.startswith(_OPEN) and not hmac.compare_digest(shown, expected):
            raise ApiError(
                401,
                "The API key is missing or wrong: send Authorization: Bearer <key>.",
                "invalid_api_key",
            )
        return await handler(request)

    return require_key


async def healthz(request: web.Request) -> web.Response:
    """Whether it is up."""
    del request
    return web.json_response({"status": "ok"})


async def models(request: web.Request) -> web.Response:
    """What may be asked for."""
    del request
    data = [
        {"id": name, "object": "model", "created": 0, "owned_by": "studio"}
        for name in (*VIDEO_MODELS, *IMAGE_MODELS)
    ]
    return web.json_response({"object": "list", "data": data})


async def submits(request: web.Request) -> web.Response:
    """What was asked so far."""
    return web.json_response(request.app[STUDIO].log.read())


async def show_behaviour(request: web.Request) -> web.Response:
    """The knobs as they stand."""
    return web.json_response(request.app[STUDIO].behaviour.model_dump())


async def set_behaviour(request: web.Request) -> web.Response:
    """Turns the given knobs, leaves the others."""
    studio = request.app[STUDIO]
    changes = await read_fields(request)
    try:
        behaviour = Behaviour.model_validate({**studio.behaviour.model_dump(), **changes})
    except ValidationError as problem:
        first = problem.errors(include_url=False)[0]
        param = ".".join(str(part) for part in first["loc"])
        raise ApiError(400, f"{param}: {first['msg']}.", "invalid_value", param) from problem
    if behaviour.instant:
        await studio.instant_video()
    studio.behaviour = behaviour
    return await show_behaviour(request)


async def reset_behaviour(request: web.Request) -> web.Response:
    """Turns every knob back to rest."""
    request.app[STUDIO].behaviour = Behaviour()
    return await show_behaviour(request)

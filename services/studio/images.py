"""The routes of images: `/v1/images/generations`, and the files that its links point to."""

import asyncio
import base64
import hashlib
import json
import re
import secrets
import time
from pathlib import Path
from typing import Any

from aiohttp import web

from services.studio.errors import ApiError
from services.studio.order import Order
from services.studio.requests import ImageRequest, image_request, read_fields
from services.studio.studio import Studio
from services.studio.videos import STUDIO, answer_as_told
from services.studio.workshop import RenderFailedError

_FOLDER = "images"


def routes() -> list[web.RouteDef]:
    """All of them."""
    return [web.post("/v1/images/generations", generate), web.get("/studio/images/{name}", show)]


async def generate(request: web.Request) -> web.StreamResponse:
    """Renders pictures and answers with them. The same `Idempotency-Key` gets the same pictures again."""
    studio = request.app[STUDIO]
    studio.behaviour.refuse_submit()
    wanted = image_request(await read_fields(request))
    key = request.headers.get("Idempotency-Key") or None
    album, new = _album(studio, wanted, key)
    if new:
        failure = studio.behaviour.plan().fail_with
        if failure is not None:
            raise ApiError(400, failure.message, failure.code)
    # Two requests with one key wait for one render.
    async with studio.album_locks.setdefault(album["id"], asyncio.Lock()):
        pictures = await _render(studio, wanted, album["id"])
    if new:
        await answer_as_told(request, studio)
    data = [
        {"b64_json": base64.b64encode(path.read_bytes()).decode()}
        if wanted.base64
        else {"url": str(request.url.origin() / "studio" / _FOLDER / path.name)}
        for path in pictures
    ]
    return web.json_response({"created": int(album["created"]), "data": data})


async def show(request: web.Request) -> web.StreamResponse:
    """One picture. Its name can not be guessed, so that, as at OpenAI, the link alone opens it."""
    name = request.match_info["name"]
    path = request.app[STUDIO].directory / _FOLDER / name
    if not re.fullmatch(r"[\w-]+\.png", name) or not path.exists():
        raise ApiError(404, "There is no such picture.", "image_not_found")
    return web.FileResponse(path, headers={"Content-Type": "image/png"})


def _album(studio: Studio, wanted: ImageRequest, key: str | None) -> tuple[dict[str, Any], bool]:
    """The record of a request, and whether it is new; noted before the first picture is rendered."""
    folder = studio.directory / _FOLDER
    folder.mkdir(exist_ok=True)
    album = {
        "id": f"img_{secrets.token_urlsafe(18)}",
        "created": time.time(),
        "fingerprint": wanted.fingerprint(),
    }
    entry = {"kind": "image", "id": album["id"], "model": wanted.model, "prompt": wanted.prompt,
             "idempotency_key": key, "metadata": None}  # fmt: skip
    if key is not None:
        record = folder / f"key-{hashlib.sha256(key.encode()).hexdigest()}.json"
        if record.exists():
            earlier: dict[str, Any] = json.loads(record.read_bytes())
            if earlier["fingerprint"] != album["fingerprint"]:
                raise ApiError(
                    409,
                    "This Idempotency-Key was used for another request.",
                    "idempotency_key_reused",
                )
            studio.log.replayed({**entry, "id": earlier["id"]})
            return earlier, False
        part = record.with_suffix(".part")
        part.write_text(json.dumps(album))
        part.replace(record)
    studio.log.submitted(entry)
    return album, True


async def _render(studio: Studio, wanted: ImageRequest, album: str) -> list[Path]:
    """The files of all pictures, rendered unless they are there already."""
    paths = [studio.directory / _FOLDER / f"{album}-{index}.png" for index in range(wanted.count)]
    orders = [
        Order(
            "image",
            wanted.prompt,
            wanted.width,
            wanted.height,
            str(path),
            at_least_seconds=studio.behaviour.render_seconds,
            variant=index,
        )
        for index, path in enumerate(paths)
        if not path.exists()
    ]
    try:
        async with asyncio.TaskGroup() as renders:
            for order in orders:
                renders.create_task(studio.workshop.render(order))
    except* RenderFailedError as problem:
        raise ApiError(500, str(problem.exceptions[0]), "render_failed") from problem
    return paths

"""The OpenAPI document and a page to read and try it."""

from functools import cache
from pathlib import Path
from typing import Final

from aiohttp import hdrs, web

from services.frontend_bff import openapi
from services.frontend_bff.routes import TABLE

_FOLDER: Final = Path(__file__).parent / "docs_page"
_PAGE: Final = {
    "/api/docs": ("index.html", "text/html"),
    "/api/docs/page.js": ("page.js", "text/javascript"),
    "/api/docs/page.css": ("page.css", "text/css"),
}


def add_to(app: web.Application) -> None:
    """Adds `/api/openapi.json` and `/api/docs`."""
    _add(app, "/api/openapi.json", _document(), "application/json")
    for path, (name, content_type) in _PAGE.items():
        _add(app, path, (_FOLDER / name).read_text(), content_type)


@cache
def _document() -> str:
    return openapi.text(TABLE)


def _add(app: web.Application, path: str, text: str, content_type: str) -> None:
    body = text.encode()

    async def answer(_: web.Request) -> web.Response:
        return web.Response(
            body=body,
            content_type=content_type,
            charset="utf-8",
            headers={hdrs.CACHE_CONTROL: "no-cache"},
        )

    app.router.add_get(path, answer)

"""The built web UI: its files, and its one page for every address that is not a file."""

from pathlib import Path, PurePosixPath
from typing import Final

from aiohttp import hdrs, web

_FOREVER: Final = "public, max-age=31536000, immutable"
_ASK_EACH_TIME: Final = "no-cache"
# Vite puts files here whose names change with what is in them.
_HASHED: Final = "/assets/"
_NOT_BUILT: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Reelgate</title>
<h1>The web UI is not built</h1>
<p>Run <code>make web</code>, then load this page again.</p>
<p>The HTTP API works without it: <a href="/api/docs">read about it</a>.</p>
</html>
"""


class WebUi:
    """Serves the folder that the build wrote. The folder may change while we run."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory.resolve()

    def answer(self, request: web.Request) -> web.StreamResponse | None:
        """The file, the page, or None when there is nothing at this address."""
        if request.method not in (hdrs.METH_GET, hdrs.METH_HEAD):
            return None
        file = self._file(request.path)
        if file is not None:
            keep = _FOREVER if request.path.startswith(_HASHED) else _ASK_EACH_TIME
            return web.FileResponse(file, headers={hdrs.CACHE_CONTROL: keep})
        wants_page = "text/html" in request.headers.get(hdrs.ACCEPT, "") or request.path == "/"
        if not wants_page or request.path.startswith(_HASHED):
            return None
        page = self._file("/index.html")
        if page is None:
            return web.Response(
                status=503,
                text=_NOT_BUILT,
                content_type="text/html",
                headers={hdrs.RETRY_AFTER: "30", hdrs.CACHE_CONTROL: "no-store"},
            )
        return web.FileResponse(page, headers={hdrs.CACHE_CONTROL: _ASK_EACH_TIME})

    def _file(self, path: str) -> Path | None:
        parts = PurePosixPath(path).parts[1:]
        if not parts or "\0" in path or "\\" in path or any(part[0] == "." for part in parts):
            return None
        try:
            file = self._directory.joinpath(*parts).resolve()
            inside = file.is_relative_to(self._directory) and file.is_file()
        except (OSError, ValueError):
            # A name that no file can have: too long, or not text.
            return None
        return file if inside else None

"""What every answer says to browsers, and what a browser's request has to prove."""

from collections.abc import Iterable, MutableMapping
from typing import Final

from aiohttp import hdrs, web

from services.frontend_bff.sessions import Cookies, bearer
from services.kernel.errors import PermissionDenied

_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_FIXED: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_HSTS: Final = "max-age=31536000"
_CORS_ALLOWED: Final = {
    "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, Range",
    "Access-Control-Max-Age": "600",
}
_CORS_EXPOSED: Final = (
    "Content-Disposition, Content-Range, ETag, Idempotency-Replayed, Location, Retry-After, "
    "X-Request-Id"
)


def put_headers(
    headers: MutableMapping[str, str], *, link_origins: Iterable[str], is_https: bool
) -> None:
    """Adds the headers that protect a page; a policy that is there already stays."""
    headers.update(_FIXED)
    headers.setdefault("Content-Security-Policy", _policy(link_origins))
    if is_https:
        headers["Strict-Transport-Security"] = _HSTS


def _policy(link_origins: Iterable[str]) -> str:
    media = " ".join(("'self'", "blob:", *link_origins))
    return (
        "default-src 'self'; script-src 'self'; style-src 'self'; "
        f"img-src {media} data:; media-src {media}; font-src 'self'; connect-src 'self'; "
        "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )


class SameOrigin:
    """Refuses what another site's page makes a browser do (CSRF)."""

    def __init__(self, cookies: Cookies, public_url: str | None) -> None:
        self._cookies = cookies
        self._public_url = public_url

    def check(self, request: web.Request) -> None:
        """Raises PermissionDenied for a change that does not come from a page of ours.

        A bearer token is proof enough, since no browser adds one by itself. A session's cookies are not: they
        need a header that says where the page is from. Without either there is nothing to abuse but a log-in,
        and then a header that names another site is enough to refuse.
        """
        if request.method in _SAFE_METHODS or bearer(request) is not None:
            return
        verdict = self._is_ours(request)
        if verdict is False or (verdict is None and self._cookies.sent_by(request)):
            raise PermissionDenied(
                "The request does not come from a page of this site.", reason="CROSS_SITE"
            )

    def _is_ours(self, request: web.Request) -> bool | None:
        """None when the request does not say."""
        site = request.headers.get("Sec-Fetch-Site")
        if site is not None:
            return site in ("same-origin", "none")
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is None:
            return None
        host = request.host.lower()
        return origin.lower() in (self._public_url, f"http://{host}", f"https://{host}")


class Cors:
    """Lets pages of listed origins call with a bearer token; their cookies are never used."""

    def __init__(self, origins: Iterable[str]) -> None:
        self._origins = frozenset(origins)

    def preflight(self, request: web.Request) -> web.Response | None:
        """The answer to a browser that asks whether such a page may call; None for anything else."""
        if request.method != hdrs.METH_OPTIONS or not self._allows(request):
            return None
        if hdrs.ACCESS_CONTROL_REQUEST_METHOD not in request.headers:
            return None
        return web.Response(status=204, headers=_CORS_ALLOWED)

    def put_headers(self, request: web.Request, headers: MutableMapping[str, str]) -> None:
        """Tells the browser that the page may read the answer."""
        if self._origins and request.path.startswith("/api/"):
            headers["Vary"] = "Origin"
            if self._allows(request):
                headers["Access-Control-Allow-Origin"] = request.headers[hdrs.ORIGIN]
                headers["Access-Control-Expose-Headers"] = _CORS_EXPOSED
                headers["Cross-Origin-Resource-Policy"] = "cross-origin"

    def _allows(self, request: web.Request) -> bool:
        return (
            request.path.startswith("/api/")
            and request.headers.get(hdrs.ORIGIN, "").lower() in self._origins
        )

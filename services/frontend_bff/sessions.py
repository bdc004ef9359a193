"""How a caller shows who he is: a bearer token, an API key, or the cookies of a session."""

import hashlib
import re
import time
from collections import OrderedDict
from typing import Final

from aiohttp import hdrs, web

from services.frontend_bff.clients.identity import IdentityClient, SignedIn
from services.kernel.errors import Unauthenticated

AUTH_PATH: Final = "/api/v1/auth"
API_KEY_PREFIX: Final = "rg-"
# A revoked key works for this long at most.
_KEY_SECONDS: Final = 15.0
_KEYS: Final = 4096
# Anything else can not travel on in a message or in its metadata, of which gRPC takes 8 KiB.
_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,4096}")


class Cookies:
    """The two cookies of a session. Over https their names bind them to this host and to TLS."""

    def __init__(self, *, is_https: bool) -> None:
        self._secure = is_https
        self._access = "__Host-reelgate_access" if is_https else "reelgate_access"
        # A path other than "/" rules __Host- out.
        self._refresh = "__Secure-reelgate_refresh" if is_https else "reelgate_refresh"

    def access_token(self, request: web.Request) -> str:
        """The access token that a browser sent; "" for none."""
        return request.cookies.get(self._access, "")

    def refresh_token(self, request: web.Request) -> str:
        """The refresh token that a browser sent; "" for none, or none that could be ours."""
        token = request.cookies.get(self._refresh, "")
        return token if _TOKEN.fullmatch(token) else ""

    def sent_by(self, request: web.Request) -> bool:
        """The request carries a session of ours."""
        return self._access in request.cookies or self._refresh in request.cookies

    def put(self, response: web.StreamResponse, session: SignedIn) -> None:
        """Gives the browser a session."""
        self._set(response, self._access, session.access_token, session.access_seconds, "/")
        self._set(
            response, self._refresh, session.refresh_token, session.refresh_seconds, AUTH_PATH
        )

    def clear(self, response: web.StreamResponse) -> None:
        """Takes the session from the browser."""
        self._set(response, self._access, "", 0, "/")
        self._set(response, self._refresh, "", 0, AUTH_PATH)

    def _set(
        self, response: web.StreamResponse, name: str, value: str, seconds: int, path: str
    ) -> None:
        response.set_cookie(
            name,
            value,
            max_age=seconds,
            path=path,
            secure=self._secure,
            httponly=True,
            samesite="Strict",
        )


class ApiKeys:
    """Trades API keys for tokens, remembered for a few seconds by the digest of the whole key."""

    def __init__(self, identity: IdentityClient) -> None:
        self._identity = identity
        self._known: OrderedDict[bytes, tuple[str, float]] = OrderedDict()

    async def token(self, api_key: str) -> str:
        """A token of the key's owner. Raises what the gateway raises (BAD_API_KEY)."""
        digest = hashlib.sha256(api_key.encode()).digest()
        known = self._known.get(digest)
        now = time.monotonic()
        if known is not None and known[1] > now:
            return known[0]
        traded = await self._identity.exchange_api_key(api_key)
        self._known.pop(digest, None)
        self._known[digest] = (traded.token, now + min(_KEY_SECONDS, traded.seconds / 2))
        if len(self._known) > _KEYS:
            self._known.popitem(last=False)
        return traded.token


def bearer(request: web.Request) -> str | None:
    """What the Authorization header carries, when it is a bearer token; None without one."""
    scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


async def access_token(request: web.Request, cookies: Cookies, keys: ApiKeys) -> str:
    """The token to call the services with. Raises Unauthenticated when the request has none."""
    token = bearer(request)
    if token is None:
        token = cookies.access_token(request)
    if not token:
        raise Unauthenticated("Log in or send a bearer token.")
    if _TOKEN.fullmatch(token) is None:
        raise Unauthenticated("The token is not valid. Log in again.", reason="TOKEN_INVALID")
    return await keys.token(token) if token.startswith(API_KEY_PREFIX) else token

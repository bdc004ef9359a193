"""Accounts and sessions (H1)."""

from services.frontend_bff.clients.identity import SignedIn
from services.frontend_bff.routing import Call, Routes
from services.frontend_bff.schemas.answers import Session, User
from services.frontend_bff.schemas.requests import Credentials
from services.kernel.errors import Unauthenticated

routes = Routes("auth")


@routes.post(
    "/api/v1/auth/register",
    status=201,
    needs_token=False,
    also=(400, 403, 409, 413, 429, 503),
)
async def register(call: Call, body: Credentials) -> User:
    """Make an account for oneself."""
    return await call.clients.identity.register(body.email, body.password)


@routes.post("/api/v1/auth/login", needs_token=False, also=(400, 401, 403, 413, 429, 503))
async def login(call: Call, body: Credentials) -> Session:
    """Begin a session.

    The answer has a bearer token for programs; a browser gets its cookies, too.
    """
    return _session(call, await call.clients.identity.login(body.email, body.password))


@routes.post("/api/v1/auth/refresh", needs_token=False, also=(401, 403, 503))
async def refresh(call: Call) -> Session:
    """Renew the session of the cookies."""
    token = call.cookies.refresh_token(call.request)
    if not token:
        raise Unauthenticated("There is no session to renew. Log in.", reason="NO_SESSION")
    try:
        return _session(call, await call.clients.identity.refresh(token))
    except Unauthenticated:
        call.answer_cookies.append(call.cookies.clear)
        raise


@routes.post("/api/v1/auth/logout", status=204, needs_token=False, also=(403, 503))
async def logout(call: Call) -> None:
    """End the session of the cookies."""
    call.answer_cookies.append(call.cookies.clear)
    token = call.cookies.refresh_token(call.request)
    if token:
        await call.clients.identity.logout(token)


@routes.get("/api/v1/auth/me", also=(503,))
async def me(call: Call) -> User:
    """Tell who the caller is."""
    return await call.clients.identity.me()


def _session(call: Call, signed_in: SignedIn) -> Session:
    call.answer_cookies.append(lambda response: call.cookies.put(response, signed_in))
    return {
        "access_token": signed_in.access_token,
        "token_type": "Bearer",
        "expires_in": signed_in.access_seconds,
        "user": signed_in.user,
    }

"""What is known about the call being served: its id, its caller, its deadline.

The serving side sets it, the calling side carries it on. Every call is served by a task of its own, so
nothing of one call is seen by another.
"""

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass

from services.kernel.errors import PermissionDenied, Unauthenticated

request_id: ContextVar[str] = ContextVar("request_id", default="")
bearer_token: ContextVar[str] = ContextVar("bearer_token", default="")
deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, as a verified token says.

    `subject` is the UUID of the user the call is about, `actor` the service that acts for him ("" when he
    acts himself), `expires_at` in seconds since the epoch.
    """

    subject: str
    role: str
    actor: str
    scopes: frozenset[str]
    expires_at: float
    api_key_id: str = ""

    @property
    def is_admin(self) -> bool:
        """May do everything."""
        return self.role == "admin"

    @property
    def is_service(self) -> bool:
        """One of our own services, acting for `subject`."""
        return self.actor != ""


_caller: ContextVar[Caller | None] = ContextVar("caller", default=None)


def set_caller(value: Caller | None) -> None:
    """Remember who calls for the rest of this task."""
    _caller.set(value)


def caller() -> Caller:
    """Who calls. Raises Unauthenticated when nobody is known."""
    value = _caller.get()
    if value is None:
        raise Unauthenticated("Log in or send a bearer token.")
    return value


def require_admin() -> Caller:
    """The caller, who is an administrator. Raises PermissionDenied otherwise."""
    value = caller()
    if not value.is_admin:
        raise PermissionDenied("Only an administrator may do this.")
    return value


def require_service() -> Caller:
    """The caller, which is one of our services. Raises PermissionDenied otherwise."""
    value = caller()
    if not value.is_service:
        raise PermissionDenied("Only a service of this installation may do this.")
    return value


def seconds_left(own_limit: float) -> float:
    """The smaller of `own_limit` and what is left of the deadline of the call being served, in seconds."""
    end = deadline.get()
    if end is None:
        return own_limit
    return max(0.001, min(own_limit, end - asyncio.get_running_loop().time()))

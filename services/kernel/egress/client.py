"""The client for every address that came from outside."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ssl import SSLContext
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urljoin

import aiohttp
from multidict import CIMultiDict

from services.kernel.egress.connector import Attempt, current_attempt, failure, vetted_session
from services.kernel.egress.errors import EgressFailed, EgressRefused
from services.kernel.egress.gate import Gate, Lookup, system_lookup
from services.kernel.egress.incoming import Incoming
from services.kernel.egress.policy import Origin, Policy, Target

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_HEADERS_FOR_ANY_ORIGIN: Final = frozenset(
    {"accept", "accept-encoding", "accept-language", "if-range", "range", "user-agent"}
)
# So much before its time a timer of uvloop may ring: it counts in milliseconds.
_EARLY_SECONDS: Final = 0.01
Headers = Mapping[str, str] | Iterable[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait, in seconds; None waits for ever."""

    connect: float | None = 10.0
    """For a free connection, the name, TCP and TLS together."""
    read: float | None = 60.0
    """For the first and between any two pieces of the answer."""
    total: float | None = None
    """For everything, redirects and the body included."""


_DEFAULT_TIMEOUTS: Final = Timeouts()


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    data: Any
    timeouts: Timeouts
    deadline: float | None  # by the loop's clock
    allow: AbstractSet[Origin]
    follow_redirects: bool


class Egress:
    """Makes the outgoing requests of a process: `async with Egress(policy) as egress`.

    No proxy or credentials from the environment, no cookies, no decompression, no address that
    `policy` does not allow.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        lookup: Lookup = system_lookup,
        tls: SSLContext | None = None,
        connections: int = 1000,
        keepalive_seconds: float = 15.0,
        buffer_bytes: int = 65_536,
    ) -> None:
        """Take the rules; `tls` replaces the system's trusted certificates.

        `connections` at once is the limit, twice: for private origins and for all others.
        `keepalive_seconds` 0 makes each request use a connection of its own. `buffer_bytes` of
        an unread body are held at most twice, per request.
        """
        self.policy: Final = policy
        self._lookup = lookup
        self._tls = tls
        self._connections = connections
        self._keepalive_seconds = keepalive_seconds
        self._buffer_bytes = buffer_bytes

    async def __aenter__(self) -> Self:
        # Two pools: a connection to a private address that one request was allowed to make is
        # never found by another one that is not.
        self._public, self._private = self._session(private=False), self._session(private=True)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._public.close()
        await self._private.close()

    def _session(self, *, private: bool) -> aiohttp.ClientSession:
        return vetted_session(
            Gate(lambda _host, _port: private, self._lookup),
            tls=self._tls,
            connections=self._connections,
            keepalive_seconds=self._keepalive_seconds,
            buffer_bytes=self._buffer_bytes,
        )

    @asynccontextmanager
    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Headers = (),
        data: Any = None,
        timeouts: Timeouts = _DEFAULT_TIMEOUTS,
        allow: AbstractSet[Origin] = frozenset(),
        follow_redirects: bool = False,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Make one request and yield the answer, whatever its status; leaving ends it.

        `data` is bytes, an async iterable of bytes, or an aiohttp form. `allow` adds origins
        to the policy's private ones, for this request. Redirects are followed for GET and HEAD
        only, each hop judged anew; when the origin changes, only headers that say nothing
        about the caller go along. Raises EgressRefused and EgressFailed, the latter also where
        the body is read inside the `async with`.
        """
        if follow_redirects and (data is not None or method not in {"GET", "HEAD"}):
            raise ValueError("redirects are followed for GET and HEAD without a body only")
        now = asyncio.get_running_loop().time
        deadline = None if timeouts.total is None else now() + timeouts.total
        request = _Request(method, data, timeouts, deadline, allow, follow_redirects)
        carried = CIMultiDict(headers)
        carried.popall("Host", None)  # the address says it
        attempt = Attempt()
        token = current_attempt.set(attempt)
        try:
            response = await self._answer(request, url, carried)
        except EgressRefused as error:
            error.sent = attempt.connected  # an earlier hop was
            raise
        except (aiohttp.ClientError, TimeoutError, UnicodeError) as error:
            raise failure(error, sent=attempt.connected) from error
        finally:
            current_attempt.reset(token)
        try:
            yield response
        except Exception as error:
            # Only what reading this answer raised: the caller may do other things in its block.
            is_late = deadline is not None and now() >= deadline - _EARLY_SECONDS
            timed_out = is_late and isinstance(error, TimeoutError)
            if timed_out or error is response.content.exception():
                raise failure(error, sent=True) from error
            raise
        finally:
            response.release()
            await response.wait_for_close()

    @asynccontextmanager
    async def download(
        self,
        url: str,
        *,
        headers: Headers = (),
        timeouts: Timeouts = _DEFAULT_TIMEOUTS,
        allow: AbstractSet[Origin] = frozenset(),
    ) -> AsyncIterator[Incoming]:
        """GET what may be long, following redirects: as `request`, but the body goes where its reader wants it."""
        now = asyncio.get_running_loop().time()
        deadline = None if timeouts.total is None else now + timeouts.total
        async with self.request(
            "GET", url, headers=headers, timeouts=timeouts, allow=allow, follow_redirects=True
        ) as response:
            yield Incoming(response, timeouts.read, deadline)

    async def _answer(
        self, request: _Request, url: str, headers: CIMultiDict[str]
    ) -> aiohttp.ClientResponse:
        before: Target | None = None
        for _ in range(1 + self.policy.max_redirects):
            target, private = self.policy.judge(url, request.allow)
            if before is not None:
                headers = _headers_after_redirect(headers, before.origin, target.origin)
            session = self._private if private else self._public
            response = await session.request(
                request.method,
                target.url,
                headers=headers,
                data=request.data,
                allow_redirects=False,
                timeout=_client_timeout(request.timeouts, request.deadline),
            )
            location = response.headers.get("Location")
            redirected = request.follow_redirects and response.status in _REDIRECTS
            if not redirected or not location:
                return response
            response.release()
            before, url = target, _joined(target, location)
        raise EgressFailed("redirects", detail=f"the last to {url[:200]!r}", sent=True)


def _headers_after_redirect(
    headers: CIMultiDict[str], before: Origin, after: Origin
) -> CIMultiDict[str]:
    if before == after:
        return headers
    if before.scheme == "https" and after.scheme != "https":
        raise EgressRefused("downgrade", detail=f"{before} redirects to {after}")
    return CIMultiDict(
        (name, value) for name, value in headers.items() if name.lower() in _HEADERS_FOR_ANY_ORIGIN
    )


def _joined(target: Target, location: str) -> str:
    if location.lower().startswith(("http://", "https://")):
        return location
    try:
        # urljoin drops control characters silently: the judge shall see and refuse them.
        return urljoin(str(target.url), location) if location.isprintable() else location
    except ValueError:
        return location  # unreadable, as the judge will find


def _client_timeout(timeouts: Timeouts, deadline: float | None) -> aiohttp.ClientTimeout:
    # A total of 0 would mean none to aiohttp.
    left = None if deadline is None else max(deadline - asyncio.get_running_loop().time(), 0.001)
    return aiohttp.ClientTimeout(total=left, connect=timeouts.connect, sock_read=timeouts.read)

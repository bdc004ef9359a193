"""The requests of a trial: signed as the tier signs them, sent once, with all that helps to say what is wrong."""

import io
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, Literal
from urllib.parse import quote, urlencode

from aiohttp import ClientResponse
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials

from services.kernel.egress import (
    Egress,
    EgressFailed,
    EgressRefused,
    Origin,
    Timeouts,
    origin_of,
)
from services.storage.ports import TierFailed
from services.storage.s3.credentials import S3Credentials
from services.storage.s3.presign import Presigner
from services.storage.s3.target import S3Target

_TIMEOUTS: Final = Timeouts(connect=4.0, read=10.0, total=60.0)
_ANSWER_BYTES: Final = 8 * 1024 * 1024  # more than a trial ever uploads
_ELEMENT: Final = r"<{0}>\s*([^<]{{1,1024}}?)\s*</{0}>"

FaultKind = Literal[
    "address", "port", "dns", "connect", "tls", "timeout", "broken", "no_credentials", "refused"
]
_REFUSED_BY_US: Final[dict[str, FaultKind]] = {"port": "port"}
_FAILURES: Final[dict[str, FaultKind]] = {
    "dns": "dns",
    "connect": "connect",
    "tls": "tls",
    "timeout": "timeout",
}


@dataclass(frozen=True, slots=True)
class Fault(Exception):
    """A request that did not do what it should. `refused`: the server said no, with `status`, `code` and the rest.

    `skew_seconds` is how far our clock is ahead of the server's.
    """

    kind: FaultKind
    status: int = 0
    code: str = ""
    region: str = ""
    skew_seconds: float = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered; names of `headers` are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The code of the error it holds, or nothing; some servers put one into an answer of status 200."""
        return self.element("Code") if b"<Error>" in self.body else ""

    def element(self, name: str) -> str:
        """The text of the first XML element of this name, or nothing."""
        found = re.search(_ELEMENT.format(name), self.body[:65536].decode("utf-8", "replace"))
        return found[1] if found else ""

    def elements(self, name: str) -> list[str]:
        """The texts of all XML elements of this name."""
        return re.findall(_ELEMENT.format(name), self.body.decode("utf-8", "replace"))

    @property
    def skew_seconds(self) -> float:
        """How far our clock is ahead of the server's; 0 where it does not tell the time."""
        try:
            theirs = parsedate_to_datetime(self.headers.get("date", ""))
        except ValueError:
            return 0
        if theirs.tzinfo is None:
            return 0
        return (datetime.now(UTC) - theirs).total_seconds()

    def fault(self) -> Fault:
        """The answer as what went wrong."""
        region = self.headers.get("x-amz-bucket-region", "") or self.element("Region")
        return Fault("refused", self.status, self.code, region, self.skew_seconds)

    def expect(self, *statuses: int) -> "Answer":
        """This answer, if its status is one of these and it holds no error. Raises Fault."""
        if self.status not in statuses or self.code:
            raise self.fault()
        return self


class TrialRequests:
    """Requests for one bucket. All raise Fault where no answer comes."""

    def __init__(self, target: S3Target, egress: Egress) -> None:
        self._target = target
        self._egress = egress
        self._credentials = S3Credentials(target)
        self._presigner = Presigner(target, target.endpoint)
        own = frozenset({origin_of(target.object_url(target.endpoint, ""))})
        self._allow: AbstractSet[Origin] = own if target.private else frozenset()

    async def knock(self) -> Answer:
        """An unsigned question, which any answer is an answer to."""
        url = self._target.object_url(self._target.endpoint, "")
        return await self._send("HEAD", url, {}, b"", allow=self._allow)

    async def ask(
        self,
        method: str,
        key: str,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Answer:
        """A question about the bucket (`key` "") or an object, signed in its headers."""
        url = self._target.object_url(self._target.endpoint, key)
        if query:
            url = f"{url}?{urlencode(query, quote_via=quote)}"
        request = AWSRequest(method, url, headers=dict(headers or {}), data=body)
        S3SigV4Auth(await self._keys(), "s3", self._target.region).add_auth(request)
        return await self._send(method, url, dict(request.headers.items()), body, allow=self._allow)

    async def put(
        self,
        key: str,
        body: bytes | memoryview,
        headers: Mapping[str, str],
        query: Mapping[str, str] | None = None,
    ) -> Answer:
        """Sends bytes as the tier does: by a presigned address."""
        url = self._presigner.request_url(
            "PUT", key, await self._keys(), query=query, headers=headers
        )
        return await self._send("PUT", url, headers, body, allow=self._allow)

    async def as_reader(self, method: str, url: str, headers: Mapping[str, str]) -> Answer:
        """What a browser gets: no credentials, redirects followed."""
        allow = self._allow if origin_of(url) in self._allow else frozenset()
        return await self._send(method, url, headers, b"", allow=allow, follow=method == "GET")

    async def link(self, key: str) -> str:
        """The link that readers would get; empty where the bytes go through our own media route."""
        links = Presigner(self._target, self._target.link_endpoint)
        return links.reader_link(key, await self._keys()).url

    async def upload_url(self, key: str) -> str:
        """An address that a browser could upload to."""
        links = Presigner(self._target, self._target.link_endpoint)
        return links.request_url("PUT", key, await self._keys())

    async def _keys(self) -> ReadOnlyCredentials:
        try:
            return await self._credentials.now()
        except TierFailed:
            raise Fault("no_credentials") from None

    async def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | memoryview,
        *,
        allow: AbstractSet[Origin],
        follow: bool = False,
    ) -> Answer:
        try:
            async with self._egress.request(
                method,
                url,
                headers=headers,
                # A file, since large bytes would be sent in one piece.
                data=io.BytesIO(body) if body else None,
                timeouts=_TIMEOUTS,
                allow=allow,
                follow_redirects=follow,
            ) as response:
                return await _read(response)
        except EgressRefused as refusal:
            raise Fault(_REFUSED_BY_US.get(refusal.reason, "address")) from None
        except EgressFailed as failure:
            raise Fault(_FAILURES.get(failure.kind, "broken")) from None


async def _read(response: ClientResponse) -> Answer:
    chunks: list[bytes] = []
    room = _ANSWER_BYTES
    async for chunk in response.content.iter_any():
        chunks.append(chunk)
        room -= len(chunk)
        if room < 0:
            break
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(response.status, headers, b"".join(chunks))

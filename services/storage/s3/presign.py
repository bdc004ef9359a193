"""Presigned URLs, by botocore's signer: a tenth of a millisecond each, without its client."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote, urlencode

from botocore.auth import SIGV4_TIMESTAMP, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials

from services.storage.objects import Link
from services.storage.s3.target import Delivery, S3Target

LINK_LIFETIME: Final = timedelta(hours=24)
REQUEST_LIFETIME: Final = timedelta(minutes=15)


class _AuthAt(S3SigV4QueryAuth):
    """Signs as of a time that is given: botocore itself only knows the present."""

    def __init__(self, credentials: Any, region: str, lifetime: timedelta, at: datetime) -> None:
        super().__init__(credentials, "s3", region, expires=int(lifetime.total_seconds()))
        self._at = at

    def _modify_request_before_signing(self, request: Any) -> None:
        request.context["timestamp"] = self._at.strftime(SIGV4_TIMESTAMP)
        super()._modify_request_before_signing(request)  # type: ignore[misc]


@dataclass(frozen=True, slots=True)
class Presigner:
    """Signs requests for objects of one bucket under one of its endpoints."""

    target: S3Target
    endpoint: str

    def request_url(
        self,
        method: str,
        key: str,
        credentials: ReadOnlyCredentials,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        lifetime: timedelta = REQUEST_LIFETIME,
    ) -> str:
        """A URL for one request, made at once unless `lifetime` says more; `headers` are signed and must be sent."""
        return self._sign(
            method,
            key,
            credentials,
            query or {},
            headers or {},
            lifetime,
            datetime.now(UTC),
        )

    def link(
        self, key: str, credentials: ReadOnlyCredentials, query: Mapping[str, str]
    ) -> tuple[str, datetime]:
        """A link for reading that stays the same within the hour, and when it ends."""
        at = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        url = self._sign("GET", key, credentials, query, {}, LINK_LIFETIME, at)
        return url, at + LINK_LIFETIME

    def reader_link(
        self, key: str, credentials: ReadOnlyCredentials, download_name: str = ""
    ) -> Link:
        """What readers get: the CDN's address, or a presigned one where a file name is asked for or no CDN is there."""
        if self.target.delivery is Delivery.PROXY:
            return Link("", None)
        if self.target.cdn_url and not download_name:
            return Link(f"{self.target.cdn_url}/{quote(key, safe='/-_.~')}", None)
        query = (
            {"response-content-disposition": disposition(download_name)} if download_name else {}
        )
        return Link(*self.link(key, credentials, query))

    def _sign(
        self,
        method: str,
        key: str,
        credentials: ReadOnlyCredentials,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        lifetime: timedelta,
        at: datetime,
    ) -> str:
        url = self.target.object_url(self.endpoint, key)
        if query:
            url = f"{url}?{urlencode(query, quote_via=quote)}"
        request = AWSRequest(method, url, headers=dict(headers))
        _AuthAt(credentials, self.target.region, lifetime, at).add_auth(request)
        return str(request.url)


def disposition(download_name: str) -> str:
    """The Content-Disposition that makes a browser save a file under this name (RFC 6266)."""
    name = "".join(c if c.isprintable() and c not in '/\\"' else "_" for c in download_name)[:200]
    plain = name.encode("ascii", "replace").decode().replace("?", "_")
    exact = quote(name, safe="")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{exact}"

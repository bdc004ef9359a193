"""Bytes from a URL, through the vetted connector."""

import re
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Final

import structlog

from services.kernel.egress import Egress, EgressFailed, EgressRefused, Origin, origin_of
from services.kernel.errors import Aborted, InvalidArgument, ReelgateError
from services.storage.objects import SourceLink
from services.storage.ports import Body, Received
from services.storage.sources.download import Download, Patience

log = structlog.get_logger()

_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
# These are ours to set: they decide how much of the body comes, and how it is framed.
_OUR_HEADERS: Final = frozenset(
    {"accept-encoding", "connection", "content-length", "expect", "host", "if-range", "range", "te"}
    | {"trailer", "transfer-encoding", "upgrade"}
)


class Downloads:
    """Makes sources of links."""

    def __init__(self, egress: Egress, patience: Patience) -> None:
        self._egress = egress
        self._patience = patience

    def source(self, link: SourceLink) -> "UrlSource":
        """The source behind a link. Raises InvalidArgument for one that can not be asked for at all."""
        try:
            host = origin_of(link.url).host
            allow = frozenset({origin_of(link.trusted_origin)} if link.trusted_origin else ())
        except EgressRefused as refusal:
            raise _refused(refusal) from None
        for name, value in link.headers.items():
            if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
                raise InvalidArgument(
                    "A header of the source is not valid.", field="source.headers"
                )
            if name.lower() in _OUR_HEADERS:
                raise InvalidArgument(
                    f"The header {name} can not be chosen.", field="source.headers"
                )
        return UrlSource(self._egress, link, host, allow, self._patience)


class UrlSource:
    """One link; can be opened again and again."""

    def __init__(
        self,
        egress: Egress,
        link: SourceLink,
        host: str,
        allow: frozenset[Origin],
        patience: Patience,
    ) -> None:
        self.name = host
        self._egress = egress
        self._link = link
        self._allow = allow
        self._patience = patience

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Body]:
        """Asks for the whole body, as it is."""
        download = Download(self._egress, self._link, self._allow, self._patience)
        try:
            async with aclosing(download):
                await download.open()
                yield Body(download.size_bytes, download)
        except EgressRefused as refusal:
            log.info("source_refused", host=self.name, reason=refusal.reason, detail=refusal.detail)
            raise _refused(refusal) from None
        except EgressFailed as failure:
            log.info("source_failed", host=self.name, kind=failure.kind, detail=failure.detail)
            raise Aborted(
                f"The source can not be read: {failure}.",
                reason="SOURCE_FAILED",
                metadata={"kind": failure.kind},
            ) from None

    def verify(self, received: Received) -> None:
        """A length is all a source promises, and the pipe has compared it."""


def _refused(refusal: EgressRefused) -> ReelgateError:
    return InvalidArgument(
        f"The source may not be fetched: {refusal}.",
        reason="SOURCE_REFUSED",
        metadata={"rule": refusal.reason},
        field="source.url",
    )

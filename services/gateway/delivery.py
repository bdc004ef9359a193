"""Results that still lie at their upstream, read with the account's credential for their owner."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import aiohttp

from services.gateway.generations import Generation
from services.gateway.providers.port import Provider
from services.gateway.store.accounts import AccountStore
from services.gateway.store.generations import GenerationStore
from services.kernel.egress import Egress, EgressError, Timeouts, parse_origins
from services.kernel.errors import Aborted, FailedPrecondition, NotFound, OutOfRange

CHUNK_BYTES: Final = 256 * 1024
_TIMEOUTS: Final = Timeouts(connect=10, read=30)
_EXTENSIONS: Final = {
    "video/mp4": "mp4",
    "video/webm": "webm",
    "image/png": "png",
    "image/jpeg": "jpg",
}


@dataclass(frozen=True, slots=True)
class Opened:
    """An answer of an upstream. Sizes are -1 when it does not say them."""

    content_type: str
    size_bytes: int
    offset: int
    length: int
    file_name: str
    chunks: AsyncIterator[bytes]


class UpstreamReader:
    """Opens results at their upstreams."""

    def __init__(
        self,
        store: GenerationStore,
        accounts: AccountStore,
        providers: Mapping[str, Provider],
        egress: Egress,
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._providers = providers
        self._egress = egress

    @asynccontextmanager
    async def open(
        self, owner: UUID, medium_id: UUID, offset: int, length: int
    ) -> AsyncIterator[Opened]:
        """A part of a result (`length` 0: to its end; negative `offset`: from its end).

        Raises NotFound, FailedPrecondition (LINK_EXPIRED), OutOfRange, Aborted (SOURCE_FAILED).
        """
        generation = await self._store.by_medium(medium_id, owner)
        if generation.storage_type != "upstream" or generation.status != "completed":
            raise NotFound("There is no such medium.")
        if generation.expired:
            raise FailedPrecondition("The link has expired.", reason="LINK_EXPIRED")
        media = (await self._store.media_of([generation.id]))[generation.id]
        medium = next(medium for medium in media if medium.object_id == medium_id)
        account = await self._accounts.get(medium.account_id)
        source = self._providers[account.dialect].source(account, medium.upstream_url)
        headers = {**source.headers, "Accept-Encoding": "identity"}
        if offset or length:
            last = "" if offset < 0 or not length else str(offset + length - 1)
            headers["Range"] = f"bytes={offset if offset < 0 else f'{offset}-{last}'}"
        try:
            async with self._egress.request(
                "GET",
                source.url,
                headers=headers,
                timeouts=_TIMEOUTS,
                allow=parse_origins(source.trusted_origin),
                follow_redirects=True,
            ) as response:
                yield _opened(response, generation)
        except EgressError as error:
            raise Aborted(
                "The generator did not deliver the result.", reason="SOURCE_FAILED"
            ) from error


def _opened(response: aiohttp.ClientResponse, generation: Generation) -> Opened:
    if response.status == 416:
        raise OutOfRange("The range lies behind the end.")
    if response.status not in {200, 206}:
        raise Aborted(
            "The generator did not deliver the result.",
            reason="SOURCE_FAILED",
            metadata={"status": str(response.status)},
        )
    length = -1 if response.content_length is None else response.content_length
    offset, size = 0, length
    if response.status == 206:
        # Content-Range: bytes 0-99/1234
        span, _, whole = (
            response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        )
        first = span.partition("-")[0]
        if not first.isdecimal():
            raise Aborted("The generator's answer has no valid range.", reason="SOURCE_FAILED")
        offset, size = int(first), int(whole) if whole.isdecimal() else -1
    extension = _EXTENSIONS.get(response.content_type, "bin")
    return Opened(
        content_type=response.content_type,
        size_bytes=size,
        offset=offset,
        length=length,
        file_name=f"{generation.id}.{extension}",
        chunks=response.content.iter_chunked(CHUNK_BYTES),
    )

"""Requests to S3 that carry bytes: presigned, streamed, with idle limits and a small budget of repetitions."""

import asyncio
import base64
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
import structlog
from aiohttp.abc import AbstractStreamWriter
from botocore.credentials import ReadOnlyCredentials

from services.kernel.egress import Egress, EgressFailed, EgressRefused, Timeouts, origin_of
from services.storage.measures import RETRIES_TOTAL
from services.storage.metering import METER
from services.storage.objects import Tier
from services.storage.ports import Part, TierFailed, Trouble
from services.storage.s3.errors import trouble_of
from services.storage.s3.presign import Presigner
from services.storage.s3.target import S3Target

log = structlog.get_logger()

_CONNECT_SECONDS: Final = 3.0
_IDLE_SECONDS: Final = 8.0
_READ_IDLE_SECONDS: Final = 30.0
_SLICE_BYTES: Final = 256 * 1024
_TRIES: Final = 4
_FIRST_PAUSE_SECONDS: Final = 0.2
_ERROR_BODY_BYTES: Final = 16 * 1024
_CODE: Final = re.compile(rb"<Code>([A-Za-z0-9.]{1,64})</Code>")


class S3Requests:
    """PUT and GET of objects in one bucket."""

    def __init__(
        self,
        target: S3Target,
        credentials: Callable[[], Awaitable[ReadOnlyCredentials]],
        egress: Egress,
    ) -> None:
        self._presigner = Presigner(target, target.endpoint)
        self._credentials = credentials
        self._egress = egress
        self._checksums = target.checksums
        # Ours alone: a source must not reach the endpoint because we may.
        own = frozenset({origin_of(target.object_url(target.endpoint, ""))})
        self._allow = own if target.private else frozenset()

    async def put(
        self, key: str, query: Mapping[str, str], part: Part, headers: Mapping[str, str]
    ) -> str:
        """Sends a part, again where that can help; gives its ETag. Raises TierFailed."""
        pause = _FIRST_PAUSE_SECONDS
        for left in reversed(range(_TRIES)):
            try:
                return await self._put_once(key, query, part, headers)
            except TierFailed as failure:
                if not left or failure.trouble not in {"overloaded", "broken"}:
                    raise
                RETRIES_TOTAL.labels(failure.trouble).inc()
                log.info("s3_retry", trouble=failure.trouble, detail=failure.detail)
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - spread, not secrecy
            pause *= 2.5
        raise AssertionError("the last try returns or raises")

    async def _put_once(
        self, key: str, query: Mapping[str, str], part: Part, headers: Mapping[str, str]
    ) -> str:
        checksum = {"x-amz-checksum-crc32": crc32_text(part)} if self._checksums else {}
        signed = {**headers, **checksum}
        url = self._presigner.request_url(
            "PUT", key, await self._credentials(), query=query, headers=signed
        )
        timeouts = Timeouts(connect=_CONNECT_SECONDS, read=_IDLE_SECONDS)
        try:
            async with asyncio.timeout(_IDLE_SECONDS + _CONNECT_SECONDS) as limit:
                body = _Slices(part.data, limit, _IDLE_SECONDS)
                METER.operation("PutObject")
                async with self._egress.request(
                    "PUT", url, headers=signed, data=body, timeouts=timeouts, allow=self._allow
                ) as response:
                    if response.status == 200 and (etag := response.headers.get("ETag")):
                        return etag
                    raise await _refusal(response)
        except TimeoutError:
            raise TierFailed(Tier.S3, "timeout", "the server stopped taking bytes") from None
        except EgressFailed as failure:
            raise _failed(failure) from None
        except EgressRefused as refusal:
            raise TierFailed(Tier.S3, "refused", refusal.detail) from None

    @asynccontextmanager
    async def get(self, key: str, offset: int, length: int) -> AsyncIterator[AsyncIterator[bytes]]:
        """The bytes of an object from `offset`. Raises TierFailed, also while they are read."""
        url = self._presigner.request_url("GET", key, await self._credentials())
        headers = {"Range": f"bytes={offset}-{offset + length - 1}", "Accept-Encoding": "identity"}
        timeouts = Timeouts(connect=_CONNECT_SECONDS, read=_READ_IDLE_SECONDS)
        METER.operation("GetObject")
        try:
            async with self._egress.request(
                "GET", url, headers=headers, timeouts=timeouts, allow=self._allow
            ) as response:
                if response.status != 206 and not _says_it_is(response, offset, length):
                    raise await _refusal(response)
                yield _body(response)
        except EgressFailed as failure:
            raise _failed(failure) from None
        except EgressRefused as refusal:
            raise TierFailed(Tier.S3, "refused", refusal.detail) from None


async def _body(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The bytes of an answer. Says itself that it broke off, for those who can go on elsewhere."""
    try:
        async for chunk in response.content.iter_chunked(_SLICE_BYTES):
            yield chunk
    except TimeoutError:
        raise TierFailed(Tier.S3, "timeout", "the server stopped giving bytes") from None
    except aiohttp.ClientError as error:
        raise TierFailed(Tier.S3, "broken", type(error).__name__) from None


def crc32_text(part: Part) -> str:
    """The checksum as S3 writes it: base64 of four bytes, most significant first."""
    return base64.b64encode(part.crc32.to_bytes(4, "big")).decode()


class _Slices(aiohttp.Payload):
    """A part's bytes in slices, which aiohttp does not copy; each that leaves moves the time limit on."""

    def __init__(self, data: memoryview, limit: asyncio.Timeout, idle_seconds: float) -> None:
        super().__init__(data)
        self._size = len(data)
        self._limit = limit
        self._idle_seconds = idle_seconds

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:  # noqa: ARG002 - aiohttp's
        raise TypeError("the bytes of a part are no text")

    async def write(self, writer: AbstractStreamWriter) -> None:
        await self.write_with_length(writer, None)

    async def write_with_length(
        self,
        writer: AbstractStreamWriter,
        content_length: int | None,  # noqa: ARG002 - always all of it
    ) -> None:
        now = asyncio.get_running_loop().time
        for start in range(0, len(self._value), _SLICE_BYTES):
            await writer.write(self._value[start : start + _SLICE_BYTES])
            if not self._limit.expired():
                self._limit.reschedule(now() + self._idle_seconds)


def _says_it_is(response: aiohttp.ClientResponse, offset: int, length: int) -> bool:
    """Whether it is the part asked for all the same: rclone's server gives it with the status of a whole object."""
    wanted = f"bytes {offset}-{offset + length - 1}/"
    return response.status == 200 and response.headers.get("Content-Range", "").startswith(wanted)


async def _refusal(response: aiohttp.ClientResponse) -> TierFailed:
    body = await response.content.read(_ERROR_BODY_BYTES)
    found = _CODE.search(body)
    code = found[1].decode() if found else ""
    trouble = trouble_of(code, response.status)
    return TierFailed(Tier.S3, trouble, f"{code or 'no code'} with status {response.status}")


def _failed(failure: EgressFailed) -> TierFailed:
    troubles: dict[str, Trouble] = {
        "dns": "connect",
        "connect": "connect",
        "tls": "connect",
        "timeout": "timeout",
    }
    return TierFailed(Tier.S3, troubles.get(failure.kind, "broken"), failure.detail)

"""The S3 tier: control calls by aiobotocore, bytes by presigned requests through the vetted connector."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal, TypedDict

import structlog
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

from services.kernel.egress import Egress, Policy, botocore_settings, origin_of
from services.storage.metering import METER
from services.storage.objects import Link, Tier
from services.storage.ports import Listed, Part, Place, TierFailed, Unfinished
from services.storage.s3 import listing as s3_listing
from services.storage.s3.credentials import S3Credentials
from services.storage.s3.errors import tier_errors
from services.storage.s3.links import ReaderLinks
from services.storage.s3.presign import Presigner
from services.storage.s3.requests import S3Requests, crc32_text
from services.storage.s3.target import Delivery, S3Target, spelled_origin

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_s3.type_defs import CompletedPartTypeDef

    class _Algorithm(TypedDict, total=False):
        ChecksumAlgorithm: Literal["CRC32"]


log = structlog.get_logger()

CONNECT_SECONDS: Final = 3.0
_CONTROL_SECONDS: Final = 8.0
_CHECK_SECONDS: Final = 3.0
# Servers copy or index at the end; AWS takes seconds for the largest.
_COMPLETE_SECONDS: Final = 30.0
_ABORT_TRIES: Final = 3
_FOR_EVER: Final = "public, max-age=31536000, immutable"


class S3Blobs:
    """One bucket. Made by `open_s3`."""

    tier = Tier.S3

    def __init__(
        self, target: S3Target, client: "S3Client", credentials: S3Credentials, egress: Egress
    ) -> None:
        self.prefix: Final = target.prefix
        self.target: Final = target
        self._client = client
        self._credentials = credentials
        self._requests = S3Requests(target, credentials.now, egress)
        self._public = Presigner(target, target.link_endpoint)
        self._links = ReaderLinks(self._public)
        self._listing_denied = False
        # Another bucket took its place: what is on its way here is not to end here.
        self.abandoned = False

    async def create(self, place: Place) -> "_S3Writer":
        """A writer; for a whole body in one part it is one PutObject, else a multipart upload is begun."""
        if place.again:
            await self._abort_all(place.key)
        if place.whole:
            return _S3Writer(self, place, None)
        with tier_errors():
            async with asyncio.timeout(_CONTROL_SECONDS):
                begun = await self._client.create_multipart_upload(
                    Bucket=self.target.bucket,
                    Key=place.key,
                    ContentType=place.content_type,
                    CacheControl=_FOR_EVER,
                    **_algorithm(self.target),
                )
        if not (upload_id := begun.get("UploadId")):
            raise _senseless("CreateMultipartUpload")
        if begun["ResponseMetadata"].get("RetryAttempts"):
            # The client asked again, and only the answer to its first request may have been lost.
            await self._abort_all(place.key, besides=upload_id)
        return _S3Writer(self, place, upload_id)

    @asynccontextmanager
    async def read(self, key: str, offset: int, length: int) -> AsyncIterator[AsyncIterator[bytes]]:
        """The bytes, from the bucket to the reader without a stop."""
        async with self._requests.get(key, offset, length) as chunks:
            yield METER.metered(chunks)

    async def remove(self, key: str, *, unfinished: bool) -> None:
        """Deletes the object, after the multipart uploads for it."""
        if unfinished:
            await self._abort_all(key)
        with tier_errors():
            async with asyncio.timeout(_CONTROL_SECONDS):
                await self._client.delete_object(Bucket=self.target.bucket, Key=key)

    async def holds(self, key: str) -> bool:
        """Asks for the object's head."""
        return await self.size(key) is not None

    async def size(self, key: str) -> int | None:
        """Bytes of an object; None when there is none. Raises TierFailed."""
        try:
            with tier_errors():
                async with asyncio.timeout(_CONTROL_SECONDS):
                    head = await self._client.head_object(Bucket=self.target.bucket, Key=key)
        except TierFailed as failure:
            if failure.trouble == "missing":
                return None
            raise
        return head["ContentLength"]

    def listing(self) -> AsyncIterator[list[Listed]]:
        """The keys of the bucket below the prefix."""
        return s3_listing.keys(self._client, self.target.bucket, self.prefix)

    def unfinished(self) -> AsyncIterator[list[Unfinished]]:
        """Multipart uploads, of whatever keys below the prefix."""
        return s3_listing.uploads(self._client, self.target.bucket, self.prefix)

    async def discard(self, left: Unfinished) -> None:
        """Aborts the upload."""
        await self.abort(left.key, left.token)

    async def link(self, key: str, download_name: str) -> Link:
        """What readers get; none where the bytes go through our own media route."""
        return self._links.link(key, await self._credentials.now(), download_name)

    async def upload_url(self, key: str, headers: Mapping[str, str], lifetime: timedelta) -> str:
        """A link for browsers that takes one PUT with exactly these headers. Raises TierFailed."""
        credentials = await self._credentials.now()
        return self._public.request_url("PUT", key, credentials, headers=headers, lifetime=lifetime)

    @property
    def link_origins(self) -> list[str]:
        """Origins that links point to, in the spelling of a content security policy."""
        if self.target.delivery is Delivery.PROXY:
            return []
        urls = [self.target.object_url(self.target.link_endpoint, ""), self.target.cdn_url]
        return list(dict.fromkeys(spelled_origin(url) for url in urls if url))

    async def check(self) -> None:
        """Lists one key: tokens may be denied HeadBucket, and even the listing, and still be good for all we do."""
        try:
            with tier_errors(seconds=_CHECK_SECONDS):
                async with asyncio.timeout(_CHECK_SECONDS):
                    await self._client.list_objects_v2(
                        Bucket=self.target.bucket, Prefix=self.prefix, MaxKeys=1
                    )
        except TierFailed as failure:
            if not failure.detail.startswith("AccessDenied"):
                raise
            if not self._listing_denied:
                self._listing_denied = True
                log.warning("s3_listing_denied", bucket=self.target.bucket)

    async def put(self, place: Place, part: Part) -> None:
        """The whole body in one request."""
        self._require_in_use()
        headers = {"Content-Type": place.content_type, "Cache-Control": _FOR_EVER}
        await self._requests.put(place.key, {}, part, headers)

    def _require_in_use(self) -> None:
        if self.abandoned:
            raise TierFailed(Tier.S3, "missing", "another bucket took the place of this one")

    async def put_part(self, place: Place, upload_id: str, part: Part) -> "CompletedPartTypeDef":
        """One part of a multipart upload; gives what Complete wants to know of it."""
        query = {"partNumber": str(part.number), "uploadId": upload_id}
        etag = await self._requests.put(place.key, query, part, {})
        if not self.target.checksums:
            return {"PartNumber": part.number, "ETag": etag}
        return {"PartNumber": part.number, "ETag": etag, "ChecksumCRC32": crc32_text(part)}

    async def complete(
        self, place: Place, upload_id: str, parts: "list[CompletedPartTypeDef]"
    ) -> None:
        """Makes the parts one object."""
        self._require_in_use()
        with tier_errors(seconds=_COMPLETE_SECONDS):
            async with asyncio.timeout(_COMPLETE_SECONDS):
                done = await self._client.complete_multipart_upload(
                    Bucket=self.target.bucket,
                    Key=place.key,
                    UploadId=upload_id,
                    MultipartUpload={"Parts": parts},
                )
        if not done.get("ETag"):
            raise _senseless("CompleteMultipartUpload")

    async def abort(self, key: str, upload_id: str) -> None:
        """Aborts until nothing is left: a part that was on its way may still arrive after an abort."""
        for _ in range(_ABORT_TRIES):
            try:
                with tier_errors():
                    async with asyncio.timeout(_CONTROL_SECONDS):
                        await self._client.abort_multipart_upload(
                            Bucket=self.target.bucket, Key=key, UploadId=upload_id
                        )
                        await self._client.list_parts(
                            Bucket=self.target.bucket, Key=key, UploadId=upload_id, MaxParts=1
                        )
            except TierFailed as failure:
                if failure.trouble == "missing":
                    return
                raise
        raise TierFailed(Tier.S3, "broken", "parts are still listed after the abort")

    async def _abort_all(self, key: str, besides: str = "") -> None:
        with tier_errors():
            async with asyncio.timeout(_CONTROL_SECONDS):
                pages = s3_listing.uploads(self._client, self.target.bucket, key)
                found = [upload async for page in pages for upload in page]
        for upload in found:
            if upload.key == key and upload.token != besides:
                await self.abort(key, upload.token)


class _S3Writer:
    """One body on its way into the bucket."""

    def __init__(self, blobs: S3Blobs, place: Place, upload_id: str | None) -> None:
        self._blobs = blobs
        self._place = place
        self._upload_id = upload_id
        self._parts: dict[int, CompletedPartTypeDef] = {}

    async def write(self, part: Part) -> None:
        if self._upload_id is None:
            await self._blobs.put(self._place, part)
        else:
            self._parts[part.number] = await self._blobs.put_part(
                self._place, self._upload_id, part
            )

    async def complete(self) -> None:
        if self._upload_id is not None:
            parts = [self._parts[number] for number in sorted(self._parts)]
            await self._blobs.complete(self._place, self._upload_id, parts)

    async def abort(self) -> None:
        if self._upload_id is not None:
            await self._blobs.abort(self._place.key, self._upload_id)


@asynccontextmanager
async def open_s3(target: S3Target, egress: Egress) -> AsyncIterator[S3Blobs]:
    """The S3 tier for a target; nothing is connected yet. Raises EgressRefused for an endpoint that is not allowed."""
    own = frozenset({origin_of(target.endpoint)})
    policy = Policy(private=own if target.private else frozenset(), ports=None)
    config = AioConfig(
        **botocore_settings(policy, target.endpoint, bucket=target.bucket),
        signature_version="s3v4",
        connect_timeout=CONNECT_SECONDS,
        # The calls below have limits of their own; this one is for their connections.
        read_timeout=_COMPLETE_SECONDS,
        retries={"total_max_attempts": 2, "mode": "standard"},
        max_pool_connections=64,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path" if target.path_style else "virtual"},
    )
    credentials = S3Credentials(target)
    keys = await credentials.now() if target.access_key_id else None
    async with get_session().create_client(
        "s3",
        endpoint_url=target.endpoint,
        region_name=target.region,
        aws_access_key_id=keys.access_key if keys else None,
        aws_secret_access_key=keys.secret_key if keys else None,
        config=config,
    ) as client:
        client.meta.events.register("before-call.s3", METER.called)
        yield S3Blobs(target, client, credentials, egress)


def _algorithm(target: S3Target) -> "_Algorithm":
    # AWS takes parts with a checksum only where the upload named its algorithm.
    return {"ChecksumAlgorithm": "CRC32"} if target.checksums else {}


def _senseless(operation: str) -> TierFailed:
    """Something says 200 to everything, and is no S3: a proxy, a page to log in to. Nobody knows what it did."""
    return TierFailed(Tier.S3, "broken", f"{operation} succeeded without a result")

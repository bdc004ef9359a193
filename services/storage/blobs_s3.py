"""The S3 tier: control calls by aiobotocore, bytes by presigned requests through the vetted connector."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import structlog
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.credentials import ReadOnlyCredentials

from services.kernel.egress import Egress, Policy, botocore_settings, origin_of
from services.storage.objects import Link, Tier
from services.storage.ports import Part, Place, TierFailed
from services.storage.presign import Presigner, disposition
from services.storage.s3_errors import tier_errors
from services.storage.s3_requests import S3Requests, crc32_text
from services.storage.target import S3Target

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_s3.type_defs import CompletedPartTypeDef

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
        self, target: S3Target, client: "S3Client", credentials: "_Credentials", egress: Egress
    ) -> None:
        self.prefix: Final = target.prefix
        self.target: Final = target
        self._client = client
        self._credentials = credentials
        self._requests = S3Requests(target, credentials.now, egress)
        self._links = Presigner(target, target.link_endpoint)
        self._listing_denied = False

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
                    ChecksumAlgorithm="CRC32",
                )
        return _S3Writer(self, place, begun["UploadId"])

    @asynccontextmanager
    async def read(self, key: str, offset: int, length: int) -> AsyncIterator[AsyncIterator[bytes]]:
        """The bytes, from the bucket to the reader without a stop."""
        async with self._requests.get(key, offset, length) as chunks:
            yield chunks

    async def remove(self, key: str, *, unfinished: bool) -> None:
        """Deletes the object, after the multipart uploads for it."""
        if unfinished:
            await self._abort_all(key)
        with tier_errors():
            async with asyncio.timeout(_CONTROL_SECONDS):
                await self._client.delete_object(Bucket=self.target.bucket, Key=key)

    async def link(self, key: str, download_name: str) -> Link:
        """The CDN's address, or a presigned one where a file name is asked for or no CDN is there."""
        if self.target.cdn_url and not download_name:
            return Link(f"{self.target.cdn_url}/{key}", None)
        query = (
            {"response-content-disposition": disposition(download_name)} if download_name else {}
        )
        url, expires_at = self._links.link(key, await self._credentials.now(), query)
        return Link(url, expires_at)

    @property
    def link_origins(self) -> list[str]:
        """Origins that links point to, in the spelling of a content security policy."""
        urls = [self.target.object_url(self.target.link_endpoint, ""), self.target.cdn_url]
        return list(dict.fromkeys(_spelled(url) for url in urls if url))

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
        headers = {"Content-Type": place.content_type, "Cache-Control": _FOR_EVER}
        await self._requests.put(place.key, {}, part, headers)

    async def put_part(self, place: Place, upload_id: str, part: Part) -> "CompletedPartTypeDef":
        """One part of a multipart upload; gives what Complete wants to know of it."""
        query = {"partNumber": str(part.number), "uploadId": upload_id}
        etag = await self._requests.put(place.key, query, part, {})
        return {"PartNumber": part.number, "ETag": etag, "ChecksumCRC32": crc32_text(part)}

    async def complete(
        self, place: Place, upload_id: str, parts: "list[CompletedPartTypeDef]"
    ) -> None:
        """Makes the parts one object."""
        with tier_errors(seconds=_COMPLETE_SECONDS):
            async with asyncio.timeout(_COMPLETE_SECONDS):
                await self._client.complete_multipart_upload(
                    Bucket=self.target.bucket,
                    Key=place.key,
                    UploadId=upload_id,
                    MultipartUpload={"Parts": parts},
                )

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

    async def _abort_all(self, key: str) -> None:
        with tier_errors():
            async with asyncio.timeout(_CONTROL_SECONDS):
                # Longer keys can not begin with this one: it ends in an extension.
                found = await self._client.list_multipart_uploads(
                    Bucket=self.target.bucket, Prefix=key
                )
        for upload in found.get("Uploads", []):
            if upload.get("Key") == key:
                await self.abort(key, upload["UploadId"])


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


class _Credentials:
    """The keys in force now: those of the settings, or those of the SDK's chain, which change."""

    def __init__(self, target: S3Target) -> None:
        self._session = get_session()
        self._fixed = (
            ReadOnlyCredentials(target.access_key_id, target.secret_access_key, None)
            if target.access_key_id
            else None
        )

    async def now(self) -> ReadOnlyCredentials:
        if self._fixed is not None:
            return self._fixed
        found = await self._session.get_credentials()
        if found is None:
            raise TierFailed(Tier.S3, "refused", "the credential chain has no credentials")
        frozen: ReadOnlyCredentials = await found.get_frozen_credentials()
        return frozen


@asynccontextmanager
async def open_s3(target: S3Target, egress: Egress) -> AsyncIterator[S3Blobs]:
    """The S3 tier for a target; nothing is connected yet.

    Its endpoint may be a private address: the operator chose it.
    """
    policy = Policy(private=frozenset({origin_of(target.endpoint)}), ports=None)
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
    credentials = _Credentials(target)
    keys = await credentials.now() if target.access_key_id else None
    async with get_session().create_client(
        "s3",
        endpoint_url=target.endpoint,
        region_name=target.region,
        aws_access_key_id=keys.access_key if keys else None,
        aws_secret_access_key=keys.secret_key if keys else None,
        config=config,
    ) as client:
        yield S3Blobs(target, client, credentials, egress)


def _spelled(url: str) -> str:
    origin = origin_of(url)
    standard = {"http": 80, "https": 443}[origin.scheme]
    return str(origin).removesuffix(f":{standard}") if origin.port == standard else str(origin)

"""What a bucket holds below a prefix, page by page."""

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from services.storage.ports import Listed, Unfinished
from services.storage.s3.errors import says_there_are_none, tier_errors

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

_PAGE_KEYS: Final = 1000
# A page is a thousand entries, which some servers put together slowly.
_PAGE_SECONDS: Final = 30.0


async def keys(client: "S3Client", bucket: str, prefix: str) -> AsyncIterator[list[Listed]]:
    """All keys in byte order, in pages of at most 1,000. Raises TierFailed."""
    more: dict[str, str] = {}
    while True:
        with tier_errors(seconds=_PAGE_SECONDS):
            async with asyncio.timeout(_PAGE_SECONDS):
                page = await client.list_objects_v2(
                    Bucket=bucket, Prefix=prefix, MaxKeys=_PAGE_KEYS, **_words(more)
                )
        found = page.get("Contents", [])
        yield [Listed(one["Key"], one["Size"], one["LastModified"]) for one in found]
        if not page.get("IsTruncated"):
            return
        more = {"ContinuationToken": page["NextContinuationToken"]}


async def uploads(client: "S3Client", bucket: str, prefix: str) -> AsyncIterator[list[Unfinished]]:
    """All multipart uploads that are neither complete nor aborted; `token` is the upload's id. Raises TierFailed."""
    more: dict[str, str] = {}
    while True:
        with tier_errors(seconds=_PAGE_SECONDS):
            try:
                async with asyncio.timeout(_PAGE_SECONDS):
                    page = await client.list_multipart_uploads(
                        Bucket=bucket, Prefix=prefix, MaxUploads=_PAGE_KEYS, **_words(more)
                    )
            except ClientError as error:
                if not says_there_are_none(error):
                    raise
                return
        found = page.get("Uploads", [])
        yield [
            Unfinished(one["Key"], one["UploadId"], one["Initiated"])
            for one in found
            if one["Key"].startswith(prefix)
        ]
        markers = page.get("NextKeyMarker", ""), page.get("NextUploadIdMarker", "")
        before = more.get("KeyMarker", ""), more.get("UploadIdMarker", "")
        # Not every server moves its markers on.
        if not page.get("IsTruncated") or not markers[0] or markers == before:
            return
        more = {"KeyMarker": markers[0], "UploadIdMarker": markers[1]}


def _words(more: dict[str, str]) -> Any:
    """Where the next page begins, as arguments."""
    return more

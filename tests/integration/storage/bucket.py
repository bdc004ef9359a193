"""What really lies in a bucket, asked without our service."""

from typing import Any

from botocore.config import Config
from botocore.session import get_session

from tests.conftest import S3Access

# Whoever asks for other things does not see what storage tries by itself when it meets a new server.
TRIALS = ".trial/"


class Bucket:
    """Keys, uploads and bytes below a prefix."""

    def __init__(self, access: S3Access, prefix: str) -> None:
        self._bucket = access.bucket
        self._prefix = prefix
        self._client: Any = get_session().create_client(
            "s3",
            endpoint_url=access.endpoint,
            region_name=access.region,
            aws_access_key_id=access.access_key_id,
            aws_secret_access_key=access.secret_access_key,
            config=Config(s3={"addressing_style": "path"}, connect_timeout=3, read_timeout=10),
        )

    def stored(self, below: str = "") -> list[str]:
        found = self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._prefix + below)
        return self._seen([one["Key"] for one in found.get("Contents", [])], below)

    def all_stored(self) -> list[str]:
        """All keys, however many."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix
        )
        return [one["Key"] for page in pages for one in page.get("Contents", [])]

    def uploads(self, below: str = "") -> list[str]:
        found = self._client.list_multipart_uploads(Bucket=self._bucket)
        keys = [one["Key"] for one in found.get("Uploads", [])]
        return self._seen([key for key in keys if key.startswith(self._prefix + below)], below)

    def _seen(self, keys: list[str], below: str) -> list[str]:
        trials = self._prefix + TRIALS
        return [key for key in keys if below == TRIALS or not key.startswith(trials)]

    def read(self, key: str) -> bytes:
        return bytes(self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read())

    def head(self, key: str) -> dict[str, str]:
        found = self._client.head_object(Bucket=self._bucket, Key=key)
        return {name: str(value) for name, value in found.items()}

    def put(self, key: str, body: bytes) -> None:
        self._client.put_object(Bucket=self._bucket, Key=key, Body=body)

    def remove(self, key: str) -> None:
        self._client.delete_object(Bucket=self._bucket, Key=key)

    def begin_upload(self, key: str) -> None:
        """Begins a multipart upload that nobody ends."""
        self._client.create_multipart_upload(Bucket=self._bucket, Key=key)

    def close(self) -> None:
        self._client.close()

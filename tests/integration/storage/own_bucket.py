"""A bucket of one's own on the real S3 server, with rules of its own."""

from typing import Any

from botocore.config import Config
from botocore.session import get_session

from tests.conftest import S3Access


class OwnBucket:
    """A bucket that others do not look at."""

    def __init__(self, s3: S3Access, name: str) -> None:
        client: Any = get_session().create_client(
            "s3",
            endpoint_url=s3.endpoint,
            region_name=s3.region,
            aws_access_key_id=s3.access_key_id,
            aws_secret_access_key=s3.secret_access_key,
            config=Config(s3={"addressing_style": "path"}),
        )
        self.client = client
        self.access = s3
        self.name = name
        self.client.create_bucket(Bucket=name)

    def left(self) -> list[str]:
        """Keys of what is in it, finished or not."""
        found = self.client.list_objects_v2(Bucket=self.name).get("Contents", [])
        uploads = self.client.list_multipart_uploads(Bucket=self.name).get("Uploads", [])
        return [one["Key"] for one in (*found, *uploads)]

    def allow(self, origin: str, *methods: str) -> None:
        rule = {
            "AllowedOrigins": [origin],
            "AllowedMethods": list(methods),
            "AllowedHeaders": ["*"],
        }
        self.client.put_bucket_cors(Bucket=self.name, CORSConfiguration={"CORSRules": [rule]})

    def close(self) -> None:
        self.client.close()

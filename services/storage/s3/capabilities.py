"""What an S3 server was found to be able to do."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from services.storage.s3.target import S3Target


class Checksums(StrEnum):
    """What a server does with the checksum of a part: compares it, does not look at it, or refuses the request."""

    VERIFIED = "verified"
    IGNORED = "ignored"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a trial found. `tried_at` is None before it is recorded."""

    listing: bool
    checksums: Checksums
    tried_at: datetime | None = None

    def __post_init__(self) -> None:
        """The database gives text."""
        object.__setattr__(self, "checksums", Checksums(self.checksums))


def fingerprint(target: S3Target) -> bytes:
    """Names the server, bucket and key that a finding is true of: 32 bytes."""
    place = "\n".join((target.endpoint, target.bucket, target.access_key_id))
    return hashlib.sha256(place.encode()).digest()

"""What storage talks about: objects, the runs they belong to, and the keys they lie under."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final
from uuid import UUID, uuid5

from services.kernel.ids import new_id

# Never to be changed: ids, and with them keys, of all works derive from it.
_NAMESPACE: Final = UUID("6f7d3c1a-52f0-5b0e-9d0c-5d1f0a2e8c47")


class Tier(StrEnum):
    """Where bytes lie."""

    S3 = "s3"
    LOCAL = "local"


class MediaKind(StrEnum):
    """What a caller expects the bytes to be; the value is how their content type begins."""

    ANY = ""
    VIDEO = "video/"
    IMAGE = "image/"


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one generation, and the fencing token of whoever acts for it."""

    generation_id: UUID
    number: int
    lease_token: int


@dataclass(frozen=True, slots=True)
class StoredObject:
    """Bytes that are kept. `generation_id` is None for reference images; sizes in bytes and pixels."""

    id: UUID
    owner_id: UUID
    generation_id: UUID | None
    run: int
    media_index: int
    tier: Tier
    key: str
    size_bytes: int
    content_type: str
    sha256: bytes
    width: int
    height: int
    duration_ms: int
    created_at: datetime

    def __post_init__(self) -> None:
        """The database gives the tier as text."""
        object.__setattr__(self, "tier", Tier(self.tier))


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of one object before its bytes are there. `run` is None for a reference image."""

    id: UUID
    owner_id: UUID
    run: Run | None
    media_index: int
    media: MediaKind
    created_at: datetime

    def key(self, extension: str) -> str:
        """Where the bytes go below a tier's prefix: the same for each repetition of the same step."""
        if self.run is None:
            return f"input/{self.owner_id}/{self.id}.{extension}"
        day = self.created_at.astimezone(UTC).strftime("%Y/%m/%d")
        return f"{self.owner_id}/{day}/{self.id}.{extension}"


def work_slot(
    owner_id: UUID, run: Run, media_index: int, media: MediaKind, created_at: datetime
) -> Slot:
    """The slot of one medium of a generation; `created_at` is when the generation was made."""
    name = f"{run.generation_id}/{run.number}/{media_index}"
    return Slot(uuid5(_NAMESPACE, name), owner_id, run, media_index, media, created_at)


def input_slot(owner_id: UUID, media: MediaKind) -> Slot:
    """A new slot for a reference image."""
    return Slot(new_id(), owner_id, None, 0, media, datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class SourceLink:
    """Where an ingest gets its bytes: an absolute http(s) URL, and what to send to its origin only."""

    url: str
    headers: dict[str, str]
    trusted_origin: str

    def __repr__(self) -> str:
        """Without the URL and the headers, which may hold secrets."""
        return "SourceLink(…)"


@dataclass(slots=True)
class Progress:
    """How far a transfer is, in bytes; `total` 0 means that the source did not say."""

    done: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class Removal:
    """Bytes that must go. `unfinished`: a broken upload may have left pieces of them as well."""

    id: int
    tier: Tier
    key: str
    unfinished: bool
    tries: int

    def __post_init__(self) -> None:
        """The database gives the tier as text."""
        object.__setattr__(self, "tier", Tier(self.tier))


@dataclass(frozen=True, slots=True)
class Link:
    """A link to one object; `url` "" means that it is read through Download, `expires_at` None that it does not end."""

    url: str
    expires_at: datetime | None

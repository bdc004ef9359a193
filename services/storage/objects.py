"""What storage talks about: objects, the runs they belong to, and the keys they lie under."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from time import perf_counter
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
    JPEG = "image/jpeg"
    PNG = "image/png"
    WEBP = "image/webp"


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one generation, and the fencing token of whoever acts for it."""

    generation_id: UUID
    number: int
    lease_token: int


@dataclass(frozen=True, slots=True)
class StoredObject:
    """Bytes that are kept. `generation_id` is None for reference images; sizes in bytes and pixels.

    Measures are 0 until they are known, `thumbnail_bytes` while there is no thumbnail.
    """

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
    thumbnail_bytes: int = 0

    def __post_init__(self) -> None:
        """The database gives the tier as text."""
        object.__setattr__(self, "tier", Tier(self.tier))

    @property
    def name(self) -> str:
        """The key without the prefix it was written under: the same in every tier."""
        pieces = self.key.split("/")
        return "/".join(pieces[-3:] if pieces[-3] == "input" else pieces[-5:])


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
    return Slot(work_id(run, media_index), owner_id, run, media_index, media, created_at)


def work_id(run: Run, media_index: int) -> UUID:
    """The id of one medium of a generation."""
    return uuid5(_NAMESPACE, f"{run.generation_id}/{run.number}/{media_index}")


def input_slot(owner_id: UUID, media: MediaKind) -> Slot:
    """A new slot for a reference image."""
    return Slot(new_id(), owner_id, None, 0, media, datetime.now(UTC))


def thumbnail_key(key: str) -> str:
    """Where the thumbnail of the object under this key lies, in the same tier."""
    return f"{key.rpartition('.')[0]}.thumb.webp"


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
    """How far a transfer is, in bytes; `total` 0: the source did not say; what was `received` may not be stored yet."""

    done: int = 0
    total: int = 0
    received: int = 0


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A transfer as the upload log will name it: a host, or "upload", as its source; `begin` by perf_counter."""

    kind: str
    source: str
    progress: Progress
    id: UUID = field(default_factory=new_id)
    begin: float = field(default_factory=perf_counter)

    @property
    def duration_ms(self) -> int:
        """How long it takes so far."""
        return round((perf_counter() - self.begin) * 1000)


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


@dataclass(frozen=True, slots=True)
class Links:
    """How readers reach an object: a link to it, and one to its thumbnail (`url` "" also when it has none)."""

    object: StoredObject
    link: Link
    thumbnail: Link

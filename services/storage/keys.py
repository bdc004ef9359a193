"""What a key below a tier's prefix says about the bytes under it."""

import re
from dataclasses import dataclass
from typing import Final
from uuid import UUID

MARKER: Final = ".reelgate"
"""Names the installation that a prefix belongs to."""
TEMPORARY: Final = (".trial/", ".incoming/")
"""What connection tests write, and what browsers send before it is committed: removed again, unless something died."""

_ID: Final = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_OURS: Final = re.compile(
    rf"(?:(?P<input>input)/(?P<uploader>{_ID})|(?P<owner>{_ID})/\d{{4}}/\d\d/\d\d)/"
    rf"(?P<id>{_ID})\.(?P<extension>thumb\.webp|mp4|mov|webm|png|jpg|webp|gif)"
)
_BEGINS_WITH_ID: Final = re.compile(rf"(?:.*/)?({_ID})[^/]*")


@dataclass(frozen=True, slots=True)
class KeyName:
    """A key of ours, read. `is_input`: a reference image; `is_thumbnail`: of the object `id`."""

    key: str
    id: UUID
    owner_id: UUID
    is_input: bool
    is_thumbnail: bool


def read_key(key: str, prefix: str) -> KeyName | None:
    """What a key says; None when it has not the shape of ours."""
    found = _OURS.fullmatch(key, len(prefix)) if key.startswith(prefix) else None
    if found is None:
        return None
    return KeyName(
        key,
        UUID(found["id"]),
        UUID(found["uploader"] or found["owner"]),
        is_input=found["input"] is not None,
        is_thumbnail=found["extension"] == "thumb.webp",
    )


def object_id_of(key: str) -> UUID | None:
    """The object whose id the last name of a key, or of a temporary file, begins with."""
    found = _BEGINS_WITH_ID.fullmatch(key)
    return UUID(found[1]) if found else None

"""What bytes are, by looking at how they begin."""

from dataclasses import dataclass
from typing import Final

HEAD_BYTES: Final = 512
_ISO_IMAGES: Final = frozenset({b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1"})


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of media we keep."""

    content_type: str
    extension: str


MP4: Final = Kind("video/mp4", "mp4")
MOV: Final = Kind("video/quicktime", "mov")
WEBM: Final = Kind("video/webm", "webm")
PNG: Final = Kind("image/png", "png")
JPEG: Final = Kind("image/jpeg", "jpg")
WEBP: Final = Kind("image/webp", "webp")
GIF: Final = Kind("image/gif", "gif")

_MAGIC: Final = (
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"\xff\xd8\xff", JPEG),
    (b"GIF87a", GIF),
    (b"GIF89a", GIF),
)


def sniff(head: bytes) -> Kind | None:
    """The kind of a file that begins with `head` (512 bytes are enough); None when we do not keep such."""
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return WEBP
    # Matroska has the same beginning; browsers play only its WebM profile.
    if head.startswith(b"\x1a\x45\xdf\xa3") and b"webm" in head[:64]:
        return WEBM
    if head[4:8] in {b"moov", b"wide"} or head[4:12] == b"ftypqt  ":
        return MOV  # QuickTime once knew no brands
    if head[4:8] == b"ftyp" and head[8:12] not in _ISO_IMAGES:
        return MP4
    return None

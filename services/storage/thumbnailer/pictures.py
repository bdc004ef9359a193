"""Pictures, opened by Pillow; and how every thumbnail is written."""

import io
from typing import IO, Final, cast

# Named one by one, because only these are wanted: each registers itself.
from PIL import GifImagePlugin, Image, ImageOps, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from services.storage.thumbnailer.asking import AskedFile, RefusedError
from services.storage.thumbnailer.protocol import (
    LONGEST_SIDE,
    MOST_PICTURE_PIXELS,
    MOST_THUMBNAIL_BYTES,
    NOT_DECODABLE,
    TOO_MANY_PIXELS,
    Thumbnail,
)

_FORMATS: Final = {
    "image/png": PngImagePlugin.PngImageFile.format,
    "image/jpeg": JpegImagePlugin.JpegImageFile.format,
    "image/webp": WebPImagePlugin.WebPImageFile.format,
    "image/gif": GifImagePlugin.GifImageFile.format,
}
_ORIENTATION: Final = 0x0112  # EXIF
_LYING: Final = frozenset({5, 6, 7, 8})
_QUALITIES: Final = (80, 60)

# Ours below is stricter, and refuses instead of warning.
Image.MAX_IMAGE_PIXELS = None


def draw_picture(file: AskedFile, content_type: str) -> Thumbnail:
    """The thumbnail of a picture, of the first one where it moves. Raises RefusedError, and whatever Pillow does."""
    with Image.open(cast("IO[bytes]", file), formats=(_FORMATS[content_type],)) as picture:
        width, height = picture.size
        if width * height > MOST_PICTURE_PIXELS:
            raise RefusedError(TOO_MANY_PIXELS)
        # JPEGs can be decoded at a fraction of their size.
        picture.draft("RGB", (2 * LONGEST_SIDE, 2 * LONGEST_SIDE))
        picture.load()
        lying = picture.getexif().get(_ORIENTATION) in _LYING
        small = _shrunk(picture)
        if lying:
            width, height = height, width
        return Thumbnail(width, height, 0, webp_of(ImageOps.exif_transpose(small)))


def webp_of(picture: Image.Image) -> bytes:
    """The file of a thumbnail, without anything but its pixels. Raises RefusedError."""
    picture.info.clear()
    for quality in _QUALITIES:
        out = io.BytesIO()
        picture.save(out, "WEBP", quality=quality, method=4, exif=b"", icc_profile=b"", xmp=b"")
        if out.tell() <= MOST_THUMBNAIL_BYTES:
            return out.getvalue()
    raise RefusedError(NOT_DECODABLE)


def _shrunk(picture: Image.Image) -> Image.Image:
    """At most LONGEST_SIDE, in RGB or RGBA."""
    # Not later where values are indices, which can not be averaged, or wider than Pillow averages them.
    if picture.mode[0] in "P1IF" or "transparency" in picture.info:
        picture = _plain(picture)
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return _plain(picture)


def _plain(picture: Image.Image) -> Image.Image:
    if picture.mode in {"RGB", "RGBA"} and "transparency" not in picture.info:
        return picture
    exif = picture.info.get("exif")
    if picture.mode[0] in "IF":
        # 16 bits of grey: the upper ones are what is seen.
        picture = picture.point(lambda grey: grey / 256).convert("L")
    plain = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    if exif:
        plain.info["exif"] = exif
    return plain

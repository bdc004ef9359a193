"""The picture of a trial: 800 × 600, a JPEG, never the same twice."""

import io
import os
import random
from typing import Final

_SIZE: Final = (800, 600)
_SUBSTITUTE_BYTES: Final = 60_000


def make_picture() -> tuple[bytes, str]:
    """A new picture, a few ten thousand bytes, and what it is. Takes milliseconds of CPU: call it in a thread.

    Where Pillow is not installed, as storage runs without thumbnails, it is a file that is no picture.
    """
    try:
        # Imported where it is needed: the service itself never touches pictures.
        from PIL import Image, ImageDraw  # noqa: PLC0415 - see above
    except ImportError:
        return os.urandom(_SUBSTITUTE_BYTES), "A file"

    hue = random.randrange(256)  # noqa: S311 - a colour, not a secret
    across = Image.linear_gradient("L").rotate(90).resize(_SIZE)
    down = Image.linear_gradient("L").resize(_SIZE)
    picture = Image.merge("HSV", (across.point(lambda x: (x // 4 + hue) % 256), down, across))
    picture = picture.convert("RGB")
    ImageDraw.Draw(picture).text((40, 40), "Reelgate", fill="white")
    noise = Image.effect_noise(_SIZE, 24).convert("RGB")
    encoded = io.BytesIO()
    Image.blend(picture, noise, 0.15).save(encoded, "JPEG", quality=85)
    return encoded.getvalue(), "A JPEG of 800 × 600"

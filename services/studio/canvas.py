"""Pictures kept as video planes, so that a frame is composed in the form the encoder takes.

A frame is three grey pictures: luma at full size, two chromas at half size (4:2:0, BT.709, studio
range). Pasting costs a third of what RGB would and needs no colour conversion for each frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from PIL import Image

_BT709: Final = (
    *(0.18259, 0.61423, 0.06201, 16.0),
    *(-0.10064, -0.33857, 0.43922, 128.0),
    *(0.43922, -0.39894, -0.04027, 128.0),
)
_TO_RGB: Final = (
    *(1.16438, 0.0, 1.79274, -248.10),
    *(1.16438, -0.21325, -0.53291, 76.88),
    *(1.16438, 2.11240, 0.0, -289.02),
)

Colour = tuple[int, int, int]


def planes(picture: Image.Image) -> tuple[Image.Image, Image.Image, Image.Image]:
    """Luma (full size) and the two chromas (half size) of an RGB picture."""
    luma, blue, red = picture.convert("RGB").convert("RGB", _BT709).split()
    return luma, blue.reduce(2), red.reduce(2)


def luma_of(colour: Colour) -> int:
    """The luma of one colour, for things drawn into the luma alone."""
    return planes(Image.new("RGB", (2, 2), colour))[0].tobytes()[0]


@dataclass(frozen=True, slots=True)
class Sprite:
    """A picture to paste: planes, and a mask for each size (None: opaque)."""

    luma: Image.Image
    chromas: tuple[Image.Image, Image.Image]
    mask: Image.Image | None
    half_mask: Image.Image | None

    @classmethod
    def of(cls, picture: Image.Image, mask: Image.Image | None = None) -> "Sprite":
        """From RGB (with an optional grey mask) or RGBA of any size."""
        if picture.mode == "RGBA":
            mask = picture.getchannel("A")
        luma, blue, red = planes(picture)
        return cls(luma, (blue, red), mask, mask.reduce(2) if mask else None)

    @property
    def width(self) -> int:
        """In pixels of the frame."""
        return self.luma.width

    @property
    def height(self) -> int:
        """In pixels of the frame."""
        return self.luma.height

    def faded(self, opacity: float) -> "Sprite":
        """The same, `opacity` (0 to 1) times as opaque."""
        lut = [round(level * opacity) for level in range(256)]
        full = self.mask or Image.new("L", self.luma.size, 255)
        half = self.half_mask or Image.new("L", self.chromas[0].size, 255)
        return Sprite(self.luma, self.chromas, full.point(lut), half.point(lut))


class Canvas:
    """One frame being composed; `strides` are the bytes in a line of each plane (at least its width)."""

    def __init__(self, width: int, height: int, strides: Sequence[int] | None = None) -> None:
        lines = strides or (width, width // 2, width // 2)
        self.width, self.height = width, height
        self.luma = Image.new("L", (lines[0], height), 16)
        self.chromas = tuple(Image.new("L", (line, height // 2), 128) for line in lines[1:])

    def paste(self, sprite: Sprite, x: float = 0, y: float = 0) -> None:
        """Puts the sprite's top left corner at (x, y); what hangs over the edge is cut."""
        left, top = round(x), round(y)
        if left >= self.width or top >= self.height or left + sprite.width <= 0:
            return
        self.luma.paste(sprite.luma, (left, top), sprite.mask)
        for plane, chroma in zip(self.chromas, sprite.chromas, strict=True):
            plane.paste(chroma, (left // 2, top // 2), sprite.half_mask)

    def scroll(self, sprite: Sprite, offset: float, y: float = 0) -> None:
        """Pastes a sprite that tiles sideways, moved left by `offset` pixels."""
        x = -(round(offset) % sprite.width)
        while x < self.width:
            self.paste(sprite, x, y)
            x += sprite.width

    def glaze(self, sprite: Sprite, mask: Image.Image, x: int = 0, y: int = 0) -> None:
        """Pastes a sprite through a mask of any size, which is stretched over it."""
        full = mask.resize(sprite.luma.size, Image.Resampling.BILINEAR)
        half = mask.resize(sprite.chromas[0].size, Image.Resampling.BILINEAR)
        self.paste(Sprite(sprite.luma, sprite.chromas, full, half), x, y)

    def mirror(self, line: int, height: int, sway: Sequence[int], squash: int = 1) -> None:
        """Mirrors what is above `line` into the `height` lines below it, `squash` times as low.

        `sway` moves strips of the mirrored picture sideways, one number of pixels for each strip.
        """
        strip = max(2, height // max(1, len(sway)) // 2 * 2)
        for plane, scale in ((self.luma, 1), *((chroma, 2) for chroma in self.chromas)):
            tall, middle, wide = strip // scale, line // scale, self.width // scale
            source = min(middle, height // scale * squash)
            flipped = plane.crop((0, middle - source, wide, middle)).transpose(
                Image.Transpose.FLIP_TOP_BOTTOM
            )
            flipped = flipped.reduce((1, squash))
            plane.paste(flipped, (0, middle))
            for index, shift in enumerate(sway):
                if shift // scale:
                    piece = flipped.crop((0, index * tall, wide, (index + 1) * tall))
                    plane.paste(piece, (shift // scale, middle + index * tall))

    def picture(self) -> Image.Image:
        """The frame as RGB."""
        size = (self.width, self.height)
        bands = [self.luma.crop((0, 0, *size))]
        for chroma in self.chromas:
            half = chroma.crop((0, 0, self.width // 2, self.height // 2))
            bands.append(half.resize(size, Image.Resampling.BILINEAR))
        return Image.merge("RGB", bands).convert("RGB", _TO_RGB)

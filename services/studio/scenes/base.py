"""What every scene is: painted once, then drawn frame by frame from its layers."""

import math
from abc import ABC, abstractmethod
from random import Random
from typing import ClassVar

from PIL import Image

from services.studio.canvas import Canvas, Colour, Sprite
from services.studio.paint import column, disc, glow

_STARLIGHT = 232  # the luma of the brightest


class Scene(ABC):
    """A picture that moves. `words` (with spaces between) are those in a prompt that ask for it."""

    words: ClassVar[str] = ""

    def __init__(self, width: int, height: int, seconds: float, rng: Random) -> None:
        self.width, self.height, self.seconds, self.rng = width, height, seconds, rng
        self.unit = min(width, height) / 720  # speeds and sizes are given for 720 lines

    @abstractmethod
    def draw(self, canvas: Canvas, at: float) -> None:
        """Draws the frame of the moment `at` (seconds from the start) over the whole canvas."""

    def px(self, length: float) -> int:
        """A length for 720 lines in this picture's pixels, at least 1."""
        return max(1, round(length * self.unit))


def halo(diameter: int, colour: Colour, strength: float = 1.0, power: float = 2.0) -> Sprite:
    """A soft round light."""
    return Sprite.of(
        Image.new("RGB", (diameter, diameter), colour), glow(diameter, power, strength)
    )


def ball(diameter: int, colour: Colour) -> Sprite:
    """A plain disc, such as a sun."""
    return Sprite.of(Image.new("RGB", (diameter, diameter), colour), disc(diameter))


def veil(width: int, height: int, colour: Colour, strength: float = 1.0) -> Sprite:
    """A band of mist: nothing at its top, `strength` at its foot."""
    mask = column(height, lambda place: strength * place * place, width)
    return Sprite.of(Image.new("RGB", (width, height), colour), mask)


class Stars:
    """A field of stars that tiles sideways; a part of them twinkles."""

    def __init__(self, width: int, height: int, count: int, rng: Random) -> None:
        self._still = Image.new("L", (width, height), 0)
        self._twinkling = []
        for index in range(count):
            x, y = rng.randrange(width), int(height * rng.random() ** 1.4)
            side, level = 1 + (rng.random() < 0.14), rng.uniform(60, 255)
            if index % 5:
                self._still.paste(round(level), (x, y, x + side, y + side))
            else:
                self._twinkling.append(
                    (x, y, side, level, rng.random() * math.tau, rng.uniform(0.6, 2.6))
                )

    def draw(self, canvas: Canvas, at: float, drift: float = 0) -> None:
        """Draws them into the luma, moved left by `drift` pixels."""
        width = self._still.width
        shift = round(drift) % width
        for left in (-shift, width - shift) if shift else (0,):
            canvas.luma.paste(_STARLIGHT, (left, 0, left + width, self._still.height), self._still)
        for x, y, side, level, phase, rate in self._twinkling:
            left = (x - shift) % width
            bright = round(level * (0.62 + 0.38 * math.sin(at * rate + phase)))
            canvas.luma.paste(min(_STARLIGHT, 30 + bright), (left, y, left + side, y + side))

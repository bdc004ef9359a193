"""A picture that came with the prompt: the camera moves slowly over it, light dust drifts before it."""

import math
from random import Random

from PIL import Image, ImageOps

from services.studio.canvas import Canvas, Sprite
from services.studio.paint import glow
from services.studio.scenes.base import Scene


class Photo(Scene):
    """The reference, cut to the asked shape, under a moving camera."""

    def __init__(
        self, width: int, height: int, seconds: float, rng: Random, picture: Image.Image
    ) -> None:
        super().__init__(width, height, seconds, rng)
        zoom = 1.16
        wide, tall = (math.ceil(side * zoom) // 2 * 2 for side in (width, height))
        fitted = ImageOps.fit(picture, (wide, tall), Image.Resampling.LANCZOS)
        self._picture = Sprite.of(fitted)
        self._room = (wide - width, tall - height)
        self._turn = rng.choice((-1, 1))
        self._motes = [
            (
                rng.random() * width,
                rng.random() * height,
                rng.uniform(0.5, 1.5),
                rng.random() * 6.3,
                rng.randrange(3),
            )
            for _ in range(28)
        ]
        self._lights = [glow(self.px(size), 2.0, 0.34) for size in (10, 18, 30)]

    def draw(self, canvas: Canvas, at: float) -> None:
        """The camera goes from one side to the other once in the clip."""
        share = 0.5 - 0.5 * math.cos(math.pi * min(1.0, at / self.seconds)) if self.seconds else 0.0
        across = share if self._turn > 0 else 1 - share
        canvas.paste(self._picture, -self._room[0] * across, -self._room[1] * (1 - share))
        for x, y, speed, phase, kind in self._motes:
            mask = self._lights[kind]
            left = round((x + at * speed * 12 * self.unit) % self.width)
            top = round((y - at * speed * 9 * self.unit + math.sin(at + phase) * 6) % self.height)
            canvas.luma.paste(230, (left, top, left + mask.width, top + mask.height), mask)

"""A wood in the fog: snow falls by day, fireflies rise by night."""

import math
from collections.abc import Sequence
from random import Random
from typing import ClassVar, NamedTuple

from PIL import Image, ImageDraw

from services.studio.canvas import Canvas, Colour, Sprite, luma_of
from services.studio.paint import column, disc, gradient, mix, pine
from services.studio.scenes.base import Scene, ball, halo


class _Hour(NamedTuple):
    sky: Colour
    low: Colour
    near: Colour
    light: Colour
    snow: bool


_DAYS = (
    _Hour((150, 172, 192), (226, 232, 234), (28, 44, 54), (255, 250, 240), True),
    _Hour((58, 70, 112), (196, 168, 184), (24, 26, 48), (255, 226, 206), True),
)
_NIGHTS = (
    _Hour((10, 30, 38), (66, 122, 104), (4, 16, 18), (250, 255, 206), False),
    _Hour((18, 20, 48), (96, 92, 140), (8, 8, 24), (255, 236, 190), False),
)


class _Flake(NamedTuple):
    x: float
    y: float
    speed: float
    phase: float
    kind: int


class Forest(Scene):
    """Five rows of conifers, each nearer one darker and faster, with fog between."""

    words = "forest tree wood firefly fireflies fox deer bear 森林 树 лес дерев лис غابة जंगल 숲"

    hours: ClassVar[Sequence[_Hour]] = (*_DAYS, *_NIGHTS)

    def __init__(self, width: int, height: int, seconds: float, rng: Random) -> None:
        super().__init__(width, height, seconds, rng)
        hour = self._hour = rng.choice(self.hours)
        sky = [(0.0, hour.sky), (0.62, hour.low), (1.0, hour.low)]
        self._sky = Sprite.of(gradient(width, height, sky, rng))
        self._glow = halo(self.px(640), hour.light, 0.55, 2.0)
        self._moon = ball(self.px(74), mix(hour.light, hour.low, 0.12))
        self._moon_at = (width * rng.uniform(0.3, 0.7), height * rng.uniform(0.2, 0.28))
        self._rows = [self._paint_row(index) for index in range(5)]
        fog = self.px(220)
        self._fog = Sprite.of(
            Image.new("RGB", (width, fog), hour.low),
            column(fog, lambda y: 0.6 * math.sin(math.pi * y) ** 2, width),
        )
        self._flakes = self._scatter()
        self._kinds = [disc(self.px(size)) for size in ((3, 4, 6) if hour.snow else (3, 3, 4))]
        self._spark = [halo(self.px(size), (255, 240, 140), 0.8, 2.2) for size in (18, 26, 38)]
        self._white = luma_of((250, 250, 250) if hour.snow else (255, 246, 170))

    def _paint_row(self, index: int) -> tuple[Sprite, float, float]:
        share = index / 4
        width = round(self.width * (1.2 + 0.2 * share)) // 2 * 2
        size = self.height * (0.20 + 0.34 * share)
        tall = round(size * 1.35)
        top = self.height * (0.56 + 0.36 * share) - size
        mask = Image.new("L", (width * 2, tall * 2), 0)
        draw = ImageDraw.Draw(mask)
        x = 0.0
        while x < width:
            if self.rng.random() < 0.86 - 0.3 * share:
                height = size * self.rng.uniform(0.55, 1.0)
                twin = self.rng.getstate()
                for shift in (-width, 0, width):
                    # The same tree on both sides of the seam.
                    self.rng.setstate(twin)
                    pine(draw, (x + shift) * 2, size * 2 * 1.02, height * 2, self.rng)
            x += size * self.rng.uniform(0.09, 0.24)
        rise = self.rng.random() * math.tau
        bank = [
            (step * 2, (size * (0.94 + 0.035 * math.sin(step / width * math.tau * 2 + rise))) * 2)
            for step in range(0, width + 8, 8)
        ]
        draw.polygon([(0, tall * 2), *bank, (width * 2, tall * 2)], fill=255)
        colour = mix(self._hour.low, self._hour.near, 0.16 + 0.84 * share**0.9)
        foot = mix(colour, self._hour.low, 0.55 * (1 - share) + (0.1 if self._hour.snow else 0.0))
        body = gradient(
            width, tall, [(0.0, colour), (0.5, colour), (0.8, foot), (1.0, foot)], self.rng
        )
        return Sprite.of(body, mask.reduce(2)), top, self.unit * (3 + 34 * share**1.6)

    def _scatter(self) -> list[_Flake]:
        rng = self.rng
        count = round((190 if self._hour.snow else 46) * self.width * self.height / (1280 * 720))
        return [
            _Flake(
                rng.random() * self.width,
                rng.random() * self.height,
                rng.uniform(0.6, 1.4),
                rng.random() * 6.3,
                min(2, int(rng.random() ** 1.5 * 3)),
            )
            for _ in range(max(24, count))
        ]

    def draw(self, canvas: Canvas, at: float) -> None:
        """The rows with fog between them, and what falls or glows before them."""
        canvas.paste(self._sky)
        for round_thing in (self._glow, self._moon):
            canvas.paste(
                round_thing,
                self._moon_at[0] - round_thing.width / 2,
                self._moon_at[1] - round_thing.height / 2,
            )
        for index, (sprite, top, speed) in enumerate(self._rows):
            canvas.scroll(sprite, at * speed, top)
            if index in (0, 2):
                canvas.paste(
                    self._fog,
                    0,
                    top + sprite.height * 0.42 + math.sin(at * 0.5 + index) * 6 * self.unit,
                )
        if self._hour.snow:
            self._draw_snow(canvas, at)
        else:
            self._draw_fireflies(canvas, at)

    def _draw_snow(self, canvas: Canvas, at: float) -> None:
        for flake in self._flakes:
            mask = self._kinds[flake.kind]
            fall = at * flake.speed * (34 + 26 * flake.kind) * self.unit
            x = flake.x + math.sin(at * flake.speed + flake.phase) * 12 * self.unit - fall * 0.22
            box = (round(x % self.width), round((flake.y + fall) % self.height))
            canvas.luma.paste(self._white, (*box, box[0] + mask.width, box[1] + mask.height), mask)

    def _draw_fireflies(self, canvas: Canvas, at: float) -> None:
        for flake in self._flakes:
            bright = math.sin(at * flake.speed * 1.7 + flake.phase)
            if bright <= 0:
                continue
            x = flake.x + math.sin(at * 0.7 * flake.speed + flake.phase) * 40 * self.unit
            y = (
                self.height * 0.45
                + flake.y * 0.52
                + math.cos(at * 0.9 * flake.speed + flake.phase * 2) * 22 * self.unit
            )
            spark = self._spark[min(flake.kind, int(bright * 3))]
            canvas.paste(spark, x % self.width - spark.width / 2, y - spark.height / 2)


class Snowfall(Forest):
    """The wood by day, in the snow."""

    words = "snow winter ice christmas 雪 冬 снег зим лёд ثلج बर्फ 눈"
    hours = _DAYS

"""Dunes with a lit and a shaded side, and a caravan along a crest."""

import math
from random import Random

from PIL import Image, ImageChops, ImageDraw

from services.studio.canvas import Canvas, Colour, Sprite
from services.studio.paint import below, gradient, levels, mix, noise, ridge
from services.studio.scenes.base import Scene, ball, halo

_HOURS: tuple[tuple[Colour, Colour, Colour, Colour], ...] = (
    ((86, 132, 176), (246, 214, 170), (236, 178, 96), (122, 58, 40)),
    ((92, 60, 110), (250, 172, 120), (226, 128, 74), (84, 34, 50)),
    ((24, 40, 82), (120, 110, 150), (150, 130, 140), (34, 30, 58)),
)


class Dunes(Scene):
    """Four dunes whose sand drifts, under a hazy sun."""

    words = (
        "desert dune sand camel sahara 沙漠 沙丘 骆驼 пустын песк верблюд صحراء صحرا الصحراء "
        "रेगिस्तान"
    )

    def __init__(self, width: int, height: int, seconds: float, rng: Random) -> None:
        super().__init__(width, height, seconds, rng)
        self._top, self._low, self._sand, self._shade = rng.choice(_HOURS)
        self._sky = Sprite.of(
            gradient(width, height, [(0.0, self._top), (0.5, self._low), (1.0, self._low)], rng)
        )
        sun = mix(self._low, (255, 252, 240), 0.8)
        self._sun, self._glow = ball(self.px(84), sun), halo(self.px(700), sun, 0.6, 2.3)
        self._sun_at = (width * rng.uniform(0.2, 0.5), height * rng.uniform(0.2, 0.28))
        self._dunes = [self._paint_dune(index) for index in range(4)]
        self._dust = self._paint_dust()
        self._caravan = [self._paint_camel(step) for step in range(8)]

    def _paint_dune(self, index: int) -> tuple[Sprite, list[float], float, float]:
        share = index / 3
        width = round(self.width * (1.3 + 0.3 * share)) // 2 * 2
        tall = round(self.height * (0.13 + 0.16 * share))
        top = self.height * (0.42 + 0.34 * share**1.2)
        depth = self.height - round(top) + self.px(8)
        outline = ridge(width, tall, tall * 0.95, self.rng, 1 + (self.width > self.height), 0.22)
        haze = 0.62 * (1 - share) ** 1.3
        lit, dark = mix(self._sand, self._low, haze), mix(self._shade, self._low, haze)
        lower = mix(lit, dark, 0.55)
        body = gradient(
            width,
            depth,
            [(0.0, mix(lit, (255, 244, 214), 0.18)), (min(0.9, tall / depth), lit), (1.0, lower)],
            self.rng,
        )
        body.paste(
            Image.new("RGB", body.size, dark), (0, 0), self._slip_faces(outline, depth, tall)
        )
        ripples = levels(
            noise(width, depth, max(4, width // 160), max(8, depth // 5), self.rng, 2),
            120,
            230,
            0.14,
        )
        body.paste(Image.new("RGB", body.size, dark), (0, 0), ripples)
        return (
            Sprite.of(body, below(outline, depth)),
            outline,
            top,
            self.unit * (5 + 30 * share**1.6),
        )

    def _slip_faces(self, outline: list[float], depth: int, tall: int) -> Image.Image:
        """The shaded sides: right of a line that winds down from each crest, fading away from it."""
        width, reach = len(outline), round(tall * 4.2)
        shade = Image.new("L", (width, depth), 0)
        away = (
            Image.linear_gradient("L")
            .rotate(90)
            .resize((reach, depth))
            .point([255 - v for v in range(256)])
        )
        if away.getpixel((0, 0)) == 0:
            away = away.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        for crest in range(width):
            around = [outline[(crest + step) % width] for step in range(-width // 9, width // 9, 4)]
            if outline[crest] > min(around) or max(around) - outline[crest] < tall * 0.12:
                continue
            steps = [step / 32 for step in range(33)]
            edge = [
                (
                    tall * (0.5 * math.sin(down * 3.0) + 0.8 * down),
                    outline[crest] + (depth - outline[crest]) * down**1.4,
                )
                for down in steps
            ]
            side = Image.new("L", (reach, depth), 0)
            ImageDraw.Draw(side).polygon([(0, 0), *edge, (reach, depth), (reach, 0)], fill=225)
            side = ImageChops.multiply(side, away)
            for left in (crest, crest - width):
                shade.paste(
                    ImageChops.lighter(side, shade.crop((left, 0, left + reach, depth))), (left, 0)
                )
        return shade

    def _paint_dust(self) -> Sprite:
        width, height = self.width // 2 * 2, self.height // 3
        soft = levels(noise(width // 2, height // 2, 3, 5, self.rng, 4), 110, 220, 0.4)
        fade = (
            Image.linear_gradient("L")
            .resize(soft.size)
            .point([min(255, 2 * v, 2 * (255 - v)) for v in range(256)])
        )
        mask = ImageChops.multiply(soft, fade).resize((width, height), Image.Resampling.BICUBIC)
        return Sprite.of(
            Image.new("RGB", (width, height), mix(self._low, (255, 250, 235), 0.3)), mask
        )

    def _paint_camel(self, step: int) -> Sprite:
        """A camel seen from the side, one of eight steps of its walk."""
        side = self.px(46)
        s = side * 4
        mask = Image.new("L", (s, s), 0)
        draw = ImageDraw.Draw(mask)
        draw.ellipse((s * 0.22, s * 0.40, s * 0.74, s * 0.66), fill=255)
        draw.ellipse((s * 0.36, s * 0.26, s * 0.60, s * 0.58), fill=255)
        neck = [(s * 0.70, s * 0.54), (s * 0.84, s * 0.52), (s * 0.86, s * 0.30)]
        draw.line(neck, fill=255, width=round(s * 0.075), joint="curve")
        draw.ellipse((s * 0.82, s * 0.22, s * 0.98, s * 0.34), fill=255)
        draw.line([(s * 0.23, s * 0.5), (s * 0.18, s * 0.66)], fill=255, width=round(s * 0.025))
        for leg, x in enumerate((0.29, 0.36, 0.62, 0.69)):
            swing = math.sin(step / 8 * math.tau + leg * math.pi * (1 if leg % 2 else 0.5)) * 0.055
            line = [
                (s * x, s * 0.58),
                (s * (x + swing * 0.5), s * 0.78),
                (s * (x + swing), s * 0.97),
            ]
            draw.line(line, fill=255, width=round(s * 0.045), joint="curve")
        return Sprite.of(
            Image.new("RGB", (side, side), mix(self._shade, (0, 0, 0), 0.45)), mask.reduce(4)
        )

    def draw(self, canvas: Canvas, at: float) -> None:
        """Sky, sun, the far dunes, the caravan upon the third, the nearest dune, the dust."""
        canvas.paste(self._sky)
        x, y = self._sun_at
        y += at / max(self.seconds, 8) * self.px(30)
        canvas.paste(self._glow, x - self._glow.width / 2, y - self._glow.height / 2)
        canvas.paste(self._sun, x - self._sun.width / 2, y - self._sun.height / 2)
        for index, (sprite, outline, top, speed) in enumerate(self._dunes):
            if index == 2:
                self._walk(canvas, at, outline, top, at * speed)
            canvas.scroll(sprite, at * speed, top)
            if index == 1:
                canvas.scroll(self._dust, at * 34 * self.unit, self.height * 0.44)
        canvas.scroll(self._dust, at * 66 * self.unit + self.width / 2, self.height * 0.66)

    def _walk(
        self, canvas: Canvas, at: float, outline: list[float], top: float, offset: float
    ) -> None:
        for place in range(5):
            x = self.width * 0.16 + place * self.px(62) + at * 15 * self.unit
            camel = self._caravan[int(at * 7 + place * 3) % 8]
            foot = outline[int(x + camel.width / 2 + offset) % len(outline)]
            canvas.paste(camel, x, top + foot - camel.height * 0.93)

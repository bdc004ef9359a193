"""Hot-air balloons over the valley."""

import math
from random import Random
from typing import ClassVar

from PIL import Image, ImageDraw

from services.studio.canvas import Canvas, Colour, Sprite
from services.studio.paint import mix
from services.studio.scenes.valley import Valley


class Balloons(Valley):
    """The valley with hot-air balloons rising out of the mist."""

    words = "balloon sky fly float 气球 天空 飞 шар неб سماء आकाश"
    ridges: ClassVar = 5
    rock: ClassVar = 0.6

    def __init__(self, width: int, height: int, seconds: float, rng: Random) -> None:
        super().__init__(width, height, seconds, rng)
        self._balloons = []
        paints = (
            (206, 62, 44),
            (222, 150, 48),
            (62, 122, 120),
            (150, 60, 92),
            (46, 78, 134),
            (232, 196, 120),
        )
        for index, size in enumerate((30, 38, 52, 66, 96, 168)):
            haze = 0.62 - index * 0.115
            sprite = self._paint_balloon(self.px(size), rng.choice(paints), haze)
            slot = (index * 0.37 + rng.uniform(0.0, 0.16) + 0.12) % 0.9
            place = (slot * width, rng.uniform(0.34, 0.52) * height - index * 0.035 * height)
            self._balloons.append((sprite, place, rng.uniform(0, 6), size))

    def _paint_balloon(self, wide: int, paint: Colour, haze: float) -> Sprite:
        scale = 4 if wide < 120 else 3
        w = wide * scale
        tall = round(w * 1.34)
        picture = Image.new("RGB", (w, tall), paint)
        draw = ImageDraw.Draw(picture)
        cream = (246, 230, 200)
        for gore in range(7):
            reach = math.cos(math.pi * (gore + 0.5) / 14) * w * 0.5
            fill = paint if gore % 2 else cream
            draw.ellipse((w / 2 - reach, -w * 0.02, w / 2 + reach, w * 1.16), fill=fill)
        mask = Image.new("L", (w, tall), 0)
        cut = ImageDraw.Draw(mask)
        cut.ellipse((2, 2, w - 2, w - 2), fill=255)
        cut.polygon(
            [
                (w * 0.035, w * 0.64),
                (w * 0.42, w * 1.1),
                (w * 0.58, w * 1.1),
                (w * 0.965, w * 0.64),
            ],
            fill=255,
        )
        shade = (
            Image.linear_gradient("L")
            .rotate(90)
            .resize((w, tall))
            .point([round(v * 0.5) for v in range(256)])
        )
        picture = Image.composite(
            Image.new("RGB", (w, tall), mix(paint, (20, 10, 30), 0.7)), picture, shade
        )
        lit = Image.radial_gradient("L").point([max(0, 110 - v) for v in range(256)]).resize((w, w))
        picture.paste(Image.new("RGB", (w, w), (255, 246, 220)), (-w // 5, -w // 4), lit)
        basket = (58, 38, 28)
        draw = ImageDraw.Draw(picture)
        for x in (0.43, 0.57):
            for target in (draw, cut):
                line = ((w * x, w * 1.08), (w * (0.5 + (x - 0.5) * 0.7), w * 1.22))
                target.line(line, fill=basket if target is draw else 200, width=max(2, w // 70))
        box = (w * 0.445, w * 1.21, w * 0.555, w * 1.32)
        draw.rounded_rectangle(box, w * 0.015, fill=basket)
        cut.rounded_rectangle(box, w * 0.015, fill=255)
        picture = Image.blend(
            picture, Image.new("RGB", picture.size, self.light.haze), max(0.0, haze)
        )
        return Sprite.of(picture.reduce(scale), mask.reduce(scale))

    def draw_fliers(self, canvas: Canvas, at: float) -> None:
        """The far ones first, each swaying and rising a little faster the nearer it is."""
        for sprite, (x, y), phase, size in self._balloons:
            near, passed = size / 168, at / max(self.seconds, 8)
            left = (
                x
                + math.sin(at * 0.35 + phase) * 14 * self.unit
                + passed * (20 + 90 * near) * self.unit
            )
            top = (
                y
                + math.sin(at * 0.5 + phase) * 5 * self.unit
                - passed * (30 + 70 * near) * self.unit
            )
            canvas.paste(sprite, left - sprite.width / 2, top - sprite.height / 2)

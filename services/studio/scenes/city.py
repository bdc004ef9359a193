"""A city at night across the water, a train on its viaduct."""

import math
from random import Random

from PIL import Image, ImageDraw

from services.studio.canvas import Canvas, Colour, Sprite, luma_of
from services.studio.paint import column, gradient, mix
from services.studio.scenes.base import Scene, Stars, ball, halo

_DUSKS: tuple[tuple[Colour, Colour, Colour, Colour], ...] = (
    ((20, 28, 92), (132, 76, 150), (250, 136, 132), (14, 12, 40)),
    ((10, 22, 60), (44, 84, 130), (240, 170, 130), (8, 14, 34)),
    ((16, 10, 44), (92, 30, 110), (236, 80, 150), (10, 6, 28)),
    ((8, 30, 48), (24, 104, 120), (180, 214, 176), (4, 16, 26)),
)
_WARM: tuple[Colour, ...] = ((255, 214, 140), (255, 236, 190), (255, 188, 110), (190, 224, 255))


class City(Scene):
    """Three rows of towers whose windows go on and off, mirrored in the harbour."""

    words = (
        "city street neon tokyo train car skyline building rain robot cyber future 城市 街 霓虹 火车 "
        "雨 未来 город улиц поезд неон дожд مدينة शहर 東京 도시"
    )

    def __init__(self, width: int, height: int, seconds: float, rng: Random) -> None:
        super().__init__(width, height, seconds, rng)
        self._top, self._middle, self._low, self._dark = rng.choice(_DUSKS)
        self._shore = round(height * 0.70) // 2 * 2
        sky = [(0.0, self._top), (0.38, self._middle), (0.66, self._low), (1.0, self._low)]
        self._sky = Sprite.of(gradient(width, height, sky, rng))
        self._stars = Stars(width, round(height * 0.35), round(width * height / 9000), rng)
        moon = mix(self._low, (255, 255, 255), 0.7)
        self._moon, self._glow = ball(self.px(70), moon), halo(self.px(520), moon, 0.42, 2.2)
        self._moon_at = (width * rng.uniform(0.2, 0.8), height * rng.uniform(0.16, 0.24))
        self._rows = [self._paint_row(index) for index in range(3)]
        self._lights = [
            (
                rng.randrange(width),
                rng.uniform(0.4, 0.66) * height,
                rng.uniform(2, 9),
                rng.random() * 6.3,
            )
            for _ in range(26)
        ]
        self._lamp = luma_of(_WARM[0])
        self._viaduct = self._paint_viaduct()
        self._train = self._paint_train()
        self._water = Sprite.of(
            gradient(
                width,
                height - self._shore,
                [(0.0, mix(self._dark, self._middle, 0.3)), (1.0, self._dark)],
            ),
            column(height - self._shore, lambda y: 0.22 + 0.5 * y, width),
        )

    def _paint_row(self, index: int) -> tuple[Sprite, float]:
        """Towers with their windows, and the speed of the row."""
        share, rng = index / 2, self.rng
        width = round(self.width * (1.3 + 0.2 * share)) // 2 * 2
        tall = round(self.height * (0.44 - 0.20 * share))
        tone = mix(mix(self._low, self._middle, 0.55), self._dark, 0.35 + 0.6 * share)
        body = gradient(width, tall, [(0.0, tone), (1.0, mix(tone, self._low, 0.42 * (1 - share)))])
        mask = Image.new("L", (width, tall), 0)
        cut, draw = ImageDraw.Draw(mask), ImageDraw.Draw(body)
        x = 0
        while x < width:
            wide = self.px(rng.uniform(34, 88))
            rise = tall * min(0.98, rng.uniform(0.25, 0.72) + (0.24 if rng.random() < 0.2 else 0))
            top = tall - rise
            cut.rectangle((x, top, min(width, x + wide) - 1, tall), fill=255)
            if rng.random() < 0.3:
                inset = wide // 4
                cut.rectangle((x + inset, top - self.px(16), x + wide - inset, top), fill=255)
                if rng.random() < 0.6:
                    mast = x + wide // 2
                    cut.rectangle((mast, top - self.px(48), mast + self.px(1), top), fill=255)
            self._light_windows(draw, (x, round(top), wide, round(rise)), share)
            x += wide + (self.px(rng.uniform(2, 18)) if rng.random() < 0.4 else 0)
        return Sprite.of(body, mask), self.unit * (4 + 15 * share)

    def _light_windows(
        self, draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], share: float
    ) -> None:
        left, top, wide, rise = box
        step_x, step_y = self.px(7 + 3 * share), self.px(9 + 4 * share)
        w, h = max(1, round(step_x * 0.5)), max(1, round(step_y * 0.45))
        lively = self.rng.uniform(0.12, 0.5)
        tint = self.rng.choice(_WARM)
        for y in range(top + step_y, top + rise - step_y, step_y):
            for x in range(left + step_x // 2, left + wide - step_x, step_x):
                if self.rng.random() < lively:
                    glow = mix(tint, self._middle, 0.55 * (1 - share) + 0.2 * self.rng.random())
                    draw.rectangle((x, y, x + w - 1, y + h - 1), fill=glow)

    def _paint_viaduct(self) -> Sprite:
        wide, tall = self.width, self.px(64)
        span = max(self.px(150), wide // 7)
        mask = Image.new("L", (wide * 2, tall * 2), 0)
        draw = ImageDraw.Draw(mask)
        draw.rectangle((0, 0, wide * 2, tall * 2), fill=255)
        for left in range(-span // 2, wide, span):
            draw.rounded_rectangle(
                (
                    (left + self.px(9)) * 2,
                    self.px(20) * 2,
                    (left + span - self.px(9)) * 2,
                    tall * 4,
                ),
                self.px(60),
                fill=0,
            )
        body = gradient(
            wide,
            tall,
            [(0.0, mix(self._dark, self._low, 0.28)), (0.25, self._dark), (1.0, self._dark)],
        )
        return Sprite.of(body, mask.reduce(2))

    def _paint_train(self) -> Sprite:
        """Five cars with lit windows; the head lamp is at the right."""
        car, tall, gap = self.px(168), self.px(34), self.px(4)
        wide = (car + gap) * 5
        scale = 2
        mask = Image.new("L", (wide * scale, tall * scale), 0)
        shell = mix(self._dark, (200, 206, 220), 0.30)
        body = gradient(
            wide * scale,
            tall * scale,
            [(0.0, mix(shell, (255, 255, 255), 0.25)), (0.5, shell), (1.0, self._dark)],
        )
        cut, draw = ImageDraw.Draw(mask), ImageDraw.Draw(body)
        for index in range(5):
            left = index * (car + gap) * scale
            cut.rounded_rectangle(
                (left, 0, left + car * scale, tall * scale * 0.94), self.px(8) * scale, fill=255
            )
            pitch = car * scale / 9
            for window in range(9):
                x = left + pitch * (window + 0.18)
                box = (x, tall * scale * 0.24, x + pitch * 0.64, tall * scale * 0.56)
                draw.rounded_rectangle(box, scale, fill=(255, 232, 170))
            draw.rectangle(
                (left, tall * scale * 0.68, left + car * scale, tall * scale * 0.74),
                fill=(122, 162, 255),
            )
        return Sprite.of(body.reduce(scale), mask.reduce(scale))

    def draw(self, canvas: Canvas, at: float) -> None:
        """Sky, moon, towers, lights going on and off, the train, then all of it mirrored in the water."""
        canvas.paste(self._sky)
        self._stars.draw(canvas, at)
        for thing in (self._glow, self._moon):
            canvas.paste(
                thing, self._moon_at[0] - thing.width / 2, self._moon_at[1] - thing.height / 2
            )
        for index, (row, speed) in enumerate(self._rows):
            canvas.scroll(row, at * speed, self._shore - row.height)
            if index == 1:
                self._pass_train(canvas, at)
        side = self.px(3)
        for x, y, rate, phase in self._lights:
            if math.sin(at * 6.3 / rate + phase) > 0.3:
                left, top = round(x - at * self._rows[2][1]) % self.width, round(y)
                canvas.luma.paste(self._lamp, (left, top, left + side, top + side))
        depth = self.height - self._shore
        strips = max(8, depth // self.px(7))
        sway = [
            round(math.sin(at * 2.6 + row * 1.1) * (0.8 + 0.13 * row) * self.unit * 2)
            for row in range(strips)
        ]
        canvas.mirror(self._shore, depth, sway, 2)
        canvas.paste(self._water, 0, self._shore)

    def _pass_train(self, canvas: Canvas, at: float) -> None:
        deck = self._shore - self._viaduct.height - self.px(58)
        length = self._train.width
        x = (at * 250 * self.unit + self.width * 0.55) % (self.width + length * 1.5) - length
        canvas.paste(self._train, x, deck - self._train.height + self.px(3))
        canvas.paste(self._viaduct, 0, deck)

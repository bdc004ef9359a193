"""Ridge behind ridge in the morning mist, with birds."""

import math
from random import Random
from typing import ClassVar, NamedTuple

from PIL import Image, ImageChops, ImageDraw

from services.studio.canvas import Canvas, Colour, Sprite
from services.studio.paint import below, gradient, levels, mix, noise, pine, ridge
from services.studio.scenes.base import Scene, ball, halo


class Light(NamedTuple):
    """The colours of an hour of the day."""

    top: Colour
    middle: Colour
    low: Colour
    sun: Colour
    haze: Colour
    far: Colour
    near: Colour


LIGHTS = (
    Light(
        (64, 92, 148),
        (206, 150, 150),
        (255, 206, 150),
        (255, 240, 206),
        (250, 200, 160),
        (190, 140, 150),
        (38, 30, 52),
    ),
    Light(
        (72, 128, 168),
        (166, 204, 206),
        (252, 232, 196),
        (255, 250, 226),
        (226, 226, 204),
        (136, 172, 178),
        (20, 50, 58),
    ),
    Light(
        (34, 34, 82),
        (126, 74, 128),
        (246, 140, 116),
        (255, 214, 160),
        (214, 126, 128),
        (120, 74, 124),
        (22, 16, 44),
    ),
    Light(
        (120, 86, 84),
        (226, 160, 110),
        (255, 218, 150),
        (255, 246, 210),
        (246, 200, 140),
        (200, 136, 98),
        (56, 28, 26),
    ),
    Light(
        (20, 44, 74),
        (60, 112, 132),
        (172, 196, 186),
        (244, 240, 214),
        (150, 184, 182),
        (76, 120, 134),
        (8, 26, 36),
    ),
)


class Valley(Scene):
    """Six ridges, the sun behind them, clouds, mist, a flock of birds."""

    words = (
        "mountain hill valley mist fog sunrise morning landscape 山 雾 日出 清晨 гор туман рассвет "
        "جبل पहाड़"
    )
    ridges: ClassVar = 6
    rock: ClassVar = 0.52

    def __init__(self, width: int, height: int, seconds: float, rng: Random) -> None:
        super().__init__(width, height, seconds, rng)
        light = self.light = rng.choice(LIGHTS)
        self._waves = 2 if width > height else 1
        stops = [(0.0, light.top), (0.42, light.middle), (0.68, light.low), (1.0, light.low)]
        self._sky = Sprite.of(gradient(width, height, stops, rng))
        self._clouds = self._paint_clouds(mix(light.low, (255, 255, 255), 0.35))
        side = self.px(92)
        self._sun = ball(side, light.sun)
        self._glow = halo(self.px(760), light.sun, 0.62, 2.4)
        self._sun_at = (rng.uniform(0.24, 0.76) * width, rng.uniform(0.40, 0.46) * height)
        self._layers = [self._paint_ridge(index) for index in range(self.ridges)]
        self._flock = _Flock(self, mix(light.near, light.far, 0.25))

    def _paint_clouds(self, colour: Colour) -> Sprite:
        width, height = self.width // 2 * 2, self.height // 2
        soft = levels(noise(width // 2, height // 2, 3, 9, self.rng, 5), 118, 215, 0.62)
        fade = (
            Image.linear_gradient("L")
            .resize(soft.size)
            .point([min(255, 2 * v, 2 * (255 - v)) for v in range(256)])
        )
        mask = ImageChops.multiply(soft, fade).resize((width, height), Image.Resampling.BICUBIC)
        return Sprite.of(Image.new("RGB", (width, height), colour), mask)

    def _paint_ridge(self, index: int) -> tuple[Sprite, float, float]:
        """A layer, its y and its speed in pixels a second."""
        share = index / (self.ridges - 1)
        light, rng = self.light, self.rng
        width = (round(self.width * (1.15 + 0.25 * share)) + 1) // 2 * 2
        tall = round(self.height * (0.20 + 0.14 * share))
        peak = tall * (0.92 - 0.25 * share)
        top = self.height * (0.43 + 0.40 * share**1.15) - (tall - peak) * 0.4
        outline = ridge(width, tall * 0.98, peak, rng, self._waves + index % 2, self.rock)
        depth = (
            self.height - round(top) if index == self.ridges - 1 else max(tall + self.px(150), tall)
        )
        mask = below(outline, depth)
        colour = mix(light.far, light.near, share**1.1)
        if share > 0.55:
            self._plant(mask, outline, share)
        foot = mix(colour, light.haze, 0.75 * (1 - share) + 0.12)
        body = gradient(
            width, depth, [(0.0, colour), (min(0.95, tall / depth), foot), (1.0, foot)], rng
        )
        return Sprite.of(body, mask), top, self.unit * (3 + 34 * share**1.8)

    def _plant(self, mask: Image.Image, outline: list[float], share: float) -> None:
        """Pines along the nearer outlines."""
        draw = ImageDraw.Draw(mask)
        x = 0.0
        size = self.unit * (14 + 40 * (share - 0.55) / 0.45)
        while x < len(outline):
            if self.rng.random() < 0.75:
                pine(
                    draw,
                    x,
                    outline[int(x)] + size * 0.1,
                    size * self.rng.uniform(0.55, 1.25),
                    self.rng,
                )
            x += size * self.rng.choice((0.18, 0.26, 0.4, 1.1))

    def draw(self, canvas: Canvas, at: float) -> None:
        """Sky, sun, clouds, then the ridges from far to near with the birds between."""
        canvas.paste(self._sky)
        x, y = self._sun_at
        y -= at / max(self.seconds, 8) * self.height * 0.07
        canvas.paste(self._glow, x - self._glow.width / 2, y - self._glow.height / 2)
        canvas.paste(self._sun, x - self._sun.width / 2, y - self._sun.height / 2)
        canvas.scroll(self._clouds, at * 9 * self.unit, self.height * 0.04)
        for index, (sprite, top, speed) in enumerate(self._layers):
            canvas.scroll(sprite, at * speed, top)
            if index == 1:
                self.draw_fliers(canvas, at)

    def draw_fliers(self, canvas: Canvas, at: float) -> None:
        """What flies between the far and the near ridges."""
        self._flock.draw(canvas, at)


class _Flock:
    """Birds that beat their wings and cross the picture."""

    def __init__(self, scene: Scene, colour: Colour) -> None:
        rng = scene.rng
        self._scene = scene
        side = scene.px(30)
        self._poses = [
            self._pose(side, lift, colour)
            for lift in (0.42, 0.2, 0.0, -0.18, -0.26, -0.18, 0.0, 0.2)
        ]
        self._birds = [
            (
                rng.gauss(0, 0.07) * scene.width,
                rng.gauss(0, 0.035) * scene.height,
                rng.random() * 8,
                rng.uniform(6, 9),
            )
            for _ in range(9)
        ]
        self._start = rng.uniform(0.08, 0.3) * scene.width
        self._line = rng.uniform(0.2, 0.32) * scene.height

    @staticmethod
    def _pose(side: int, lift: float, colour: Colour) -> Sprite:
        big = Image.new("L", (side * 4, side * 4), 0)
        middle, body = side * 2, side * 2
        tip, thick = middle - lift * side * 3, max(2, round(side * 0.2))
        for sign in (-1, 1):
            elbow = (body + sign * side * 0.8, middle - lift * side * 3 * 0.75 - side * 0.12)
            line = [(body, middle), elbow, (body + sign * side * 1.8, tip)]
            ImageDraw.Draw(big).line(line, fill=235, width=thick, joint="curve")
        return Sprite.of(Image.new("RGB", (side, side), colour), big.reduce(4))

    def draw(self, canvas: Canvas, at: float) -> None:
        scene = self._scene
        for dx, dy, phase, rate in self._birds:
            x = self._start + dx + at * 52 * scene.unit
            y = self._line + dy + math.sin(at * 0.9 + phase) * 6 * scene.unit - at * 4 * scene.unit
            canvas.paste(self._poses[int(at * rate + phase) % len(self._poses)], x, y)

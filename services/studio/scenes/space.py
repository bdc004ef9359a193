"""A ringed planet above the horizon of its moon."""

import math
from random import Random

from PIL import Image, ImageChops, ImageDraw, ImageOps

from services.studio.canvas import Canvas, Colour, Sprite
from services.studio.paint import below, disc, gradient, levels, mix, noise, ridge
from services.studio.scenes.base import Scene, Stars, halo

_WORLDS: tuple[tuple[Colour, Colour, Colour, Colour], ...] = (
    ((120, 78, 52), (224, 184, 134), (250, 232, 200), (92, 40, 96)),
    ((30, 70, 120), (104, 170, 206), (226, 240, 246), (36, 50, 130)),
    ((96, 34, 60), (214, 108, 90), (250, 206, 160), (120, 30, 70)),
    ((24, 82, 84), (96, 190, 160), (226, 246, 214), (20, 76, 110)),
)


class Space(Scene):
    """The planet turns, the stars drift, a moon passes, now and then something falls."""

    words = (
        "space planet galaxy moon cosmos cosmic astronaut rocket orbit universe 太空 宇宙 行星 月 火箭 "
        "космос планет лун ракет فضاء قمر"
    )

    def __init__(self, width: int, height: int, seconds: float, rng: Random) -> None:
        super().__init__(width, height, seconds, rng)
        self._dark, self._tone, self._light, self._dust = rng.choice(_WORLDS)
        self._sky = Sprite.of(self._paint_sky())
        self._stars = [
            Stars(width, height, round(width * height / spread), rng) for spread in (3400, 9000)
        ]
        side = self._side = round(min(width, height) * (0.52 if width >= height else 0.62)) // 2 * 2
        self._middle = (
            width * rng.uniform(0.56, 0.68),
            height * (0.42 if width >= height else 0.38),
        )
        self._surface = self._paint_surface(side)
        self._round = disc(side)
        self._half = self._round.reduce(2)
        self._shade = self._paint_shade(side)
        self._air = halo(round(side * 1.5), mix(self._tone, self._light, 0.4), 0.42, 1.5)
        self._back, self._front = self._paint_rings(side)
        moon = self.px(46)
        self._moon = Sprite.of(
            gradient(moon, moon, [(0, (226, 222, 214)), (1, (60, 58, 70))]), disc(moon)
        )
        self._ground = self._paint_ground()
        self._meteors = [
            (
                rng.uniform(0.5, max(1.0, seconds - 1)),
                rng.uniform(0.05, 0.6),
                rng.uniform(0.05, 0.3),
            )
            for _ in range(max(1, round(seconds / 5)))
        ]

    def _paint_sky(self) -> Image.Image:
        width, height, rng = self.width, self.height, self.rng
        sky = gradient(width, height, [(0.0, (6, 6, 16)), (1.0, (12, 10, 28))], rng)
        for colour, strength in ((self._dust, 0.5), (mix(self._dust, (40, 120, 200), 0.6), 0.3)):
            cloud = levels(noise(width // 4, height // 4, 3, 2, rng, 5), 135, 250, strength)
            cloud = cloud.resize((width, height), Image.Resampling.BICUBIC)
            sky.paste(Image.new("RGB", (width, height), colour), (0, 0), cloud)
        return sky

    def _paint_surface(self, side: int) -> Sprite:
        """The planet's bands, twice as wide as its disc; they tile sideways."""
        wide = side * 2
        bands = noise(1, side, 1, 12, self.rng, 3).resize((wide, side), Image.Resampling.BICUBIC)
        swirl = noise(wide, side, 4, 22, self.rng, 4)
        grey = levels(
            ImageChops.add(
                bands, swirl.point([round((v - 128) * 0.55 + 64) for v in range(256)]), 1, -64
            ),
            10,
            245,
        )
        colours = ImageOps.colorize(grey, self._dark, self._light, self._tone)
        return Sprite.of(colours)

    @staticmethod
    def _paint_shade(side: int) -> Sprite:
        """Night on the lower left, and the darker limb."""
        big = Image.radial_gradient("L").resize((side * 2, side * 2), Image.Resampling.BICUBIC)
        lit = big.crop(
            (
                side // 2 - side // 3,
                side // 2 + side // 3,
                side // 2 - side // 3 + side,
                side // 2 + side // 3 + side,
            )
        )
        mask = lit.point([min(250, round(max(0, level - 78) * 2.6)) for level in range(256)])
        return Sprite.of(
            Image.new("RGB", (side, side), (4, 4, 12)), ImageChops.multiply(mask, disc(side))
        )

    def _paint_rings(self, side: int) -> tuple[Sprite, Sprite]:
        """The half of the rings behind the planet and the half before it."""
        wide, tall = round(side * 2.3), round(side * 0.62)
        mask = Image.new("L", (wide * 2, tall * 2), 0)
        draw = ImageDraw.Draw(mask)
        steps = 70
        for step in range(steps):
            share = 1 - step / steps * 0.42
            level = round(60 + 170 * self.rng.random()) if self.rng.random() > 0.12 else 12
            level = round(level * min(1.0, 0.25 + step / 6))
            draw.ellipse(
                (wide * (1 - share), tall * (1 - share), wide * (1 + share), tall * (1 + share)),
                fill=level,
            )
        draw.ellipse((wide * 0.42, tall * 0.42, wide * 1.58, tall * 1.58), fill=0)
        mask = mask.reduce(2)
        colour = gradient(wide, wide, [(0.3, mix(self._tone, self._dark, 0.3)), (0.6, self._light)])
        halves = []
        for box in ((0, tall // 2, wide, tall), (0, 0, wide, tall // 2)):
            half = mask.copy()
            half.paste(0, box)
            square = Image.new("L", (wide, wide), 0)
            square.paste(half, (0, (wide - tall) // 2))
            halves.append(Sprite.of(colour, square.rotate(17, Image.Resampling.BICUBIC)))
        return halves[0], halves[1]

    def _paint_ground(self) -> Sprite:
        height = round(self.height * 0.2)
        outline = ridge(self.width * 2, height * 0.62, height * 0.4, self.rng, 3, 0.5)
        tone = mix((120, 108, 112), self._tone, 0.35)
        body = gradient(
            self.width * 2,
            height,
            [(0.1, tone), (0.45, mix(tone, (16, 14, 24), 0.6)), (1.0, (8, 7, 14))],
        )
        rough = levels(noise(self.width * 2, height, 60, 14, self.rng, 3), 120, 200, 0.42)
        body.paste(Image.new("RGB", body.size, (14, 12, 22)), (0, 0), rough)
        return Sprite.of(body, below(outline, height))

    def draw(self, canvas: Canvas, at: float) -> None:
        """From the stars to the ground."""
        canvas.paste(self._sky)
        for index, stars in enumerate(self._stars):
            stars.draw(canvas, at, at * (2 + 5 * index) * self.unit)
        self._draw_meteors(canvas, at)
        x, y = self._middle
        y += math.sin(at * 0.25) * 4 * self.unit
        canvas.paste(self._air, x - self._air.width / 2, y - self._air.height / 2)
        canvas.paste(self._back, x - self._back.width / 2, y - self._back.height / 2)
        side, turn = self._side, round(at * 13 * self.unit) % (self._side * 2)
        left, top = round(x - side / 2), round(y - side / 2)
        for start in (-turn, side * 2 - turn):
            if start < side:
                self._paste_surface(canvas, left, top, start)
        canvas.paste(self._shade, left, top)
        canvas.paste(self._front, x - self._front.width / 2, y - self._front.height / 2)
        around = at * 0.16 + 2.4
        moon = (x + math.cos(around) * side * 1.0, y - math.sin(around) * side * 0.42)
        canvas.paste(self._moon, moon[0] - self._moon.width / 2, moon[1] - self._moon.height / 2)
        canvas.scroll(self._ground, at * 16 * self.unit, self.height - self._ground.height)

    def _paste_surface(self, canvas: Canvas, left: int, top: int, start: int) -> None:
        """The part of the surface that begins at `start` of the disc."""
        side, surface = self._side, self._surface
        first, last = max(0, -start), min(side * 2, side - start)
        if last - first < 2:
            return
        begin = start + first
        canvas.luma.paste(
            surface.luma.crop((first, 0, last, side)),
            (left + begin, top),
            self._round.crop((begin, 0, begin + last - first, side)),
        )
        wide = (last - first) // 2
        for plane, chroma in zip(canvas.chromas, surface.chromas, strict=True):
            plane.paste(
                chroma.crop((first // 2, 0, first // 2 + wide, side // 2)),
                ((left + begin) // 2, top // 2),
                self._half.crop((begin // 2, 0, begin // 2 + wide, side // 2)),
            )

    def _draw_meteors(self, canvas: Canvas, at: float) -> None:
        draw = ImageDraw.Draw(canvas.luma)
        for start, x, y in self._meteors:
            age = at - start
            if 0 <= age < 0.7:
                head = (
                    x * self.width + age * 520 * self.unit,
                    y * self.height + age * 210 * self.unit,
                )
                for part in range(12):
                    tail = (head[0] - part * 9 * self.unit, head[1] - part * 3.6 * self.unit)
                    level = round((1 - part / 12) * (1 - age / 0.7) * 200 + 20)
                    draw.line(
                        (*tail, tail[0] - 9 * self.unit, tail[1] - 3.6 * self.unit),
                        fill=level,
                        width=self.px(2),
                    )

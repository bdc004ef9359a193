"""The sun low over the sea, a lighthouse on its rock, a sail."""

import math
from random import Random

from PIL import Image, ImageChops, ImageDraw

from services.studio.canvas import Canvas, Colour, Sprite
from services.studio.paint import column, gradient, levels, mix, noise
from services.studio.scenes.base import Scene, ball, halo
from services.studio.scenes.valley import LIGHTS

_SHRINK = 2  # the glitter is composed at half the size


class Sea(Scene):
    """Swells that run towards the viewer, the sun's glitter on them."""

    words = (
        "sea ocean wave beach lighthouse sail ship boat sunset coast water 海 浪 灯塔 船 夕阳 日落 мор "
        "волн маяк закат بحر غروب समुद्र सूर्यास्त 바다"
    )

    def __init__(self, width: int, height: int, seconds: float, rng: Random) -> None:
        super().__init__(width, height, seconds, rng)
        light = self._light = rng.choice(LIGHTS)
        self._line = round(height * rng.uniform(0.50, 0.56)) // 2 * 2
        sky = [(0.0, light.top), (0.5, light.middle), (0.92, light.low), (1.0, light.low)]
        self._sky = Sprite.of(gradient(width, self._line, sky, rng))
        depth = height - self._line
        deep = mix(light.near, light.top, 0.45)
        self._water = Sprite.of(
            gradient(
                width,
                depth,
                [
                    (0.0, mix(light.low, light.middle, 0.6)),
                    (0.25, mix(deep, light.middle, 0.45)),
                    (1.0, deep),
                ],
                rng,
            )
        )
        self._sun_x = width * rng.uniform(0.26, 0.42)
        self._sun = ball(self.px(108), light.sun)
        self._glow = halo(self.px(820), light.sun, 0.6, 2.2)
        self._clouds = self._paint_clouds()
        self._glints = [self._paint_glints(rows) for rows in (30, 44)]
        self._path = self._paint_path(depth)
        self._shine = Sprite.of(Image.new("RGB", (width, depth), mix(light.sun, light.low, 0.2)))
        self._swells = [self._paint_swell(index, deep) for index in range(5)]
        self._rock = self._paint_rock()
        self._beam = halo(self.px(150), (255, 244, 206), 0.95, 2.6)
        self._boat = self._paint_boat()
        self._boat_x = rng.uniform(0.46, 0.56) * width

    def _paint_clouds(self) -> Sprite:
        width, height = self.width, round(self._line * 0.86)
        soft = levels(noise(width // 2, height // 2, 3, 8, self.rng, 5), 120, 225, 0.72)
        fade = column(soft.height, lambda y: min(1.0, 3 * y, 2.4 * (1 - y)), soft.width)
        mask = ImageChops.multiply(soft, fade).resize((width, height), Image.Resampling.BICUBIC)
        light = self._light
        tints = [
            (0.0, mix(light.middle, (255, 255, 255), 0.25)),
            (1.0, mix(light.low, light.middle, 0.25)),
        ]
        return Sprite.of(gradient(width, height, tints), mask)

    def _paint_glints(self, rows: int) -> Image.Image:
        """Thin lying streaks, finer near the horizon; they tile sideways."""
        width, height = self.width // _SHRINK, (self.height - self._line) // _SHRINK
        flat = noise(width, height, max(8, width // 22), rows * 2, self.rng, 2)
        near = noise(width, height, max(4, width // 60), max(6, rows // 2), self.rng, 2)
        depth = column(height, lambda y: y**0.7, width)
        return Image.composite(near, flat, depth)

    def _paint_path(self, depth: int) -> Image.Image:
        """Where the sun glitters: narrow at the horizon, wider towards the viewer."""
        width, height = self.width // _SHRINK, depth // _SHRINK
        path = Image.new("L", (width, height), 0)
        middle = self._sun_x / _SHRINK
        profile = (
            Image.radial_gradient("L")
            .crop((0, 128, 256, 129))
            .point(
                [max(0, round(255 * (1 - v / 181) ** 1.3)) if v < 181 else 0 for v in range(256)]
            )
        )
        for y in range(height):
            reach = self.unit / _SHRINK * (70 + 360 * (y / height))
            line = profile.resize((max(2, round(reach * 2)), 1), Image.Resampling.BILINEAR)
            path.paste(line, (round(middle - reach), y))
        return ImageChops.multiply(path, column(height, lambda y: 1 - 0.75 * y, width))

    def _paint_swell(self, index: int, deep: Colour) -> tuple[Sprite, float, float]:
        """One swell, its y, and its speed; the nearer the higher."""
        share = index / 4
        width = self.width
        tall = self.px(16 + 70 * share)
        rates = (2 * round(9 - 5 * share), round(5 - 2 * share))
        phases = (self.rng.random() * 6.3, self.rng.random() * 6.3)
        crest = [
            tall
            * (
                0.16
                + 0.26 * abs(math.sin(math.pi * x / width * rates[0] + phases[0])) ** 1.2
                + 0.10 * math.sin(math.tau * x / width * rates[1] + phases[1])
            )
            for x in range(width)
        ]
        height = tall * 3
        mask = Image.new("L", (width * 2, height * 2), 0)
        draw = ImageDraw.Draw(mask)
        points = [(x * 2, y * 2) for x, y in enumerate(crest)]
        draw.polygon(
            [(0, height * 2), *points, (width * 2, points[-1][1]), (width * 2, height * 2)],
            fill=255,
        )
        strength = column(
            height, lambda y: (0.45 + 0.4 * share) * max(0.0, 1 - max(0.0, y - 0.12) / 0.8), width
        )
        tone = mix(
            mix(deep, self._light.middle, 0.30 * (1 - share)), (0, 0, 0), 0.10 + 0.25 * share
        )
        body = gradient(
            width, height, [(0.04, mix(tone, self._light.middle, 0.34)), (0.22, tone), (1.0, tone)]
        )
        y = self._line + (self.height - self._line) * (0.1 + 0.72 * share**1.4)
        return (
            Sprite.of(body, ImageChops.multiply(mask.reduce(2), strength)),
            y,
            self.unit * (10 + 50 * share),
        )

    def _paint_rock(self) -> Sprite:
        """The lighthouse on its island, at four times the size and then reduced."""
        wide, tall = self.px(300), self.px(330)
        w, h = wide * 4, tall * 4
        mask = Image.new("L", (w, h), 0)
        cut = ImageDraw.Draw(mask)
        body = gradient(
            w,
            h,
            [
                (0.6, mix(self._light.near, self._light.far, 0.25)),
                (1.0, mix(self._light.near, (0, 0, 0), 0.35)),
            ],
        )
        draw = ImageDraw.Draw(body)
        stone = [(0, h)]
        for step in range(25):
            x = step / 24
            rise = math.sin(math.pi * x) ** 0.75 * 0.27 * (1 + 0.16 * self.rng.uniform(-1, 1))
            stone.append((round(w * x), round(h * (0.995 - rise))))
        cut.polygon([*stone, (w, h)], fill=255)
        middle, foot, top = w * 0.52, h * 0.76, h * 0.2
        for part in range(7):
            first, last = top + (foot - top) * part / 7, top + (foot - top) * (part + 1) / 7
            half = [w * (0.033 + 0.020 * place) for place in (part / 7, (part + 1) / 7)]
            quad = [
                (middle - half[0], first),
                (middle + half[0], first),
                (middle + half[1], last),
                (middle - half[1], last),
            ]
            draw.polygon(quad, fill=(196, 54, 48) if part % 2 else (240, 234, 224))
            cut.polygon(quad, fill=255)
        for box, colour in (
            (
                (middle - w * 0.05, top - h * 0.012, middle + w * 0.05, top + h * 0.008),
                (46, 38, 44),
            ),
            (
                (middle - w * 0.026, top - h * 0.078, middle + w * 0.026, top - h * 0.012),
                (255, 236, 170),
            ),
        ):
            draw.rectangle(box, fill=colour)
            cut.rectangle(box, fill=255)
        roof = [
            (middle - w * 0.034, top - h * 0.076),
            (middle, top - h * 0.125),
            (middle + w * 0.034, top - h * 0.076),
        ]
        draw.polygon(roof, fill=(150, 40, 38))
        cut.polygon(roof, fill=255)
        dusk = (
            Image.linear_gradient("L")
            .rotate(90)
            .resize((w, h))
            .point([round(v * 0.42) for v in range(256)])
        )
        body = Image.composite(Image.new("RGB", (w, h), self._light.near), body, dusk)
        wash = column(h, lambda y: min(1.0, (1 - y) / 0.06), w)
        return Sprite.of(body.reduce(4), ImageChops.multiply(mask, wash).reduce(4))

    def _paint_boat(self) -> Sprite:
        side = self.px(74)
        s = side * 4
        mask = Image.new("L", (s, s), 0)
        body = Image.new("RGB", (s, s), mix(self._light.near, (0, 0, 0), 0.2))
        cut, draw = ImageDraw.Draw(mask), ImageDraw.Draw(body)
        cut.polygon(
            [(s * 0.14, s * 0.8), (s * 0.88, s * 0.8), (s * 0.76, s * 0.92), (s * 0.24, s * 0.92)],
            fill=255,
        )
        for sail, tone in (
            ([(0.5, 0.06), (0.5, 0.74), (0.86, 0.74)], 0.82),
            ([(0.46, 0.14), (0.46, 0.74), (0.18, 0.74)], 0.6),
        ):
            shape = [(s * x, s * y) for x, y in sail]
            cut.polygon(shape, fill=255)
            draw.polygon(shape, fill=mix(self._light.near, (255, 248, 236), tone))
        return Sprite.of(body.reduce(4), mask.reduce(4))

    def draw(self, canvas: Canvas, at: float) -> None:
        """Sky and sun, water and glitter, the boat, the swells, the lighthouse with its turning light."""
        canvas.paste(self._sky)
        x, y = self._sun_x, self._line - self.px(70) + at / max(self.seconds, 8) * self.px(26)
        canvas.paste(self._glow, x - self._glow.width / 2, y - self._glow.height / 2)
        canvas.paste(self._sun, x - self._sun.width / 2, y - self._sun.height / 2)
        canvas.scroll(self._clouds, at * 7 * self.unit)
        canvas.paste(self._water, 0, self._line)
        canvas.glaze(self._shine, self._glitter(at), 0, self._line)
        for index, (sprite, top, speed) in enumerate(self._swells):
            if index == 1:
                bob = math.sin(at * 1.5) * 3 * self.unit
                left = self._boat_x + at * 9 * self.unit
                canvas.paste(self._boat, left, self._line - self._boat.height * 0.62 + bob)
            lift = math.sin(at * (1.5 - 0.16 * index) + index * 1.7) * (1 + 1.6 * index) * self.unit
            canvas.scroll(sprite, at * speed * (1 if index % 2 else -1), top + lift)
        left, top = (
            self.width - self._rock.width * 0.98,
            self._line + self.px(34) - self._rock.height,
        )
        canvas.paste(self._rock, left, top)
        flash = max(0.0, math.cos(at * 1.3)) ** 6
        if flash > 0.02:
            light = self._beam.faded(flash)
            lamp = (left + self._rock.width * 0.52, top + self._rock.height * 0.155)
            canvas.paste(light, lamp[0] - light.width / 2, lamp[1] - light.height / 2)

    def _glitter(self, at: float) -> Image.Image:
        """The sun's path where two fields of streaks that move against one another are both bright."""
        fields = [
            ImageChops.offset(field, round(at * rate * self.unit), 0)
            for field, rate in zip(self._glints, (19, -13), strict=True)
        ]
        bright = levels(ImageChops.multiply(*fields), 52, 104)
        return ImageChops.multiply(bright, self._path)

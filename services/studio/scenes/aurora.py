"""Northern lights over a lake among pines."""

import math
from random import Random

from PIL import Image, ImageChops, ImageDraw

from services.studio.canvas import Canvas, Colour, Sprite
from services.studio.paint import below, column, gradient, mix, noise, pine, ridge
from services.studio.scenes.base import Scene, Stars

_LIGHTS: tuple[tuple[Colour, Colour, Colour], ...] = (
    ((96, 255, 178), (44, 190, 170), (120, 84, 214)),
    ((120, 255, 140), (40, 176, 150), (214, 76, 150)),
    ((112, 240, 236), (52, 130, 214), (150, 80, 220)),
)
_SHRINK = 4  # the curtains are soft: they are composed at a quarter of the size


class Aurora(Scene):
    """Two curtains of light that drift through one another, mirrored in still water."""

    words = "aurora northern night star lake 极光 夜 星 湖 сияни ноч звёзд звезд озер ليل रात"

    def __init__(self, width: int, height: int, seconds: float, rng: Random) -> None:
        super().__init__(width, height, seconds, rng)
        foot, waist, crown = rng.choice(_LIGHTS)
        self._shore = round(height * 0.74) // 2 * 2
        night = [
            (0.0, (5, 9, 26)),
            (0.5, (9, 26, 52)),
            (0.74, mix((16, 50, 72), waist, 0.22)),
            (1.0, (10, 30, 48)),
        ]
        self._sky = Sprite.of(gradient(width, height, night, rng))
        self._stars = Stars(width, self._shore, round(width * height / 3600), rng)
        self._band = round(height * 0.62) // 2 * 2
        light = [
            (0.0, crown),
            (0.45, mix(crown, waist, 0.7)),
            (0.8, foot),
            (1.0, mix(foot, (255, 255, 255), 0.25)),
        ]
        self._light = Sprite.of(gradient(width, self._band, light))
        self._curtains = [self._paint_curtain(rng.randrange(2, 4) + index) for index in range(2)]
        self._far = self._paint_hills(0.13, (14, 40, 60), 0.42)
        self._near = self._paint_hills(0.085, (6, 20, 34), 0.5)
        self._pines = self._paint_pines()
        self._water = Sprite.of(
            Image.new("RGB", (width, height - self._shore), (5, 16, 30)),
            column(height - self._shore, lambda place: 0.12 + 0.45 * place, width),
        )

    def _paint_curtain(self, folds: int) -> Image.Image:
        """A mask of hanging light, wider than the picture; it tiles sideways."""
        rng = self.rng
        width, height = self.width // _SHRINK * 2, self._band // _SHRINK
        streaks = noise(width, 1, width // 30, 1, rng, 4).point(
            [max(0, min(255, round((v - 20) * 1.7))) for v in range(256)]
        )
        breadth = noise(width, 1, max(3, folds * 2), 1, rng, 2).point(
            [max(0, min(255, (v - 48) * 2)) for v in range(256)]
        )
        across = ImageChops.multiply(streaks, breadth).resize((width, height))
        hang = column(
            height,
            lambda y: (y / 0.8) ** 1.7 if y < 0.8 else max(0.0, 1 - (y - 0.8) / 0.12) ** 1.4,
            width,
        )
        straight = ImageChops.multiply(across, hang)
        bent = Image.new("L", straight.size, 0)
        phases = [rng.random() * math.tau for _ in range(3)]
        for x in range(width):
            turn = x / width * math.tau
            drop = sum(
                math.sin(turn * rate * folds / 2 + phase) / rate
                for rate, phase in zip((2, 4, 6), phases, strict=True)
            )
            bent.paste(
                straight.crop((x, 0, x + 1, height)),
                (x, round(drop * height * 0.15 - height * 0.06)),
            )
        return bent

    def _paint_hills(self, tall: float, colour: Colour, detail: float) -> Sprite:
        height = round(self.height * tall)
        outline = ridge(self.width, height, height * 0.9, self.rng, 2, detail)
        body = gradient(
            self.width, height, [(0.0, colour), (1.0, mix(colour, (40, 90, 100), 0.28))]
        )
        return Sprite.of(body, below(outline, height))

    def _paint_pines(self) -> Sprite:
        """The near shore: a dark bank at both sides with trees on it."""
        tall = round(self.height * 0.46)
        mask = Image.new("L", (self.width * 2, tall * 2), 0)
        draw = ImageDraw.Draw(mask)
        for side in (0, 1):
            for _ in range(round(26 * self.width / self.height)):
                reach = self.rng.random() ** 1.6
                x = reach * self.width * 0.42 * 2
                size = tall * 2 * (0.30 + 0.62 * (1 - reach) * self.rng.uniform(0.5, 1))
                pine(
                    draw,
                    x if side == 0 else self.width * 2 - x,
                    tall * 2 * (0.97 + 0.02 * reach),
                    size,
                    self.rng,
                )
        points = [
            (x, tall * 2 * (0.86 + 0.12 * abs(math.sin(math.pi * x / (self.width * 2))) ** 0.5))
            for x in range(0, self.width * 2 + 8, 8)
        ]
        draw.polygon([(0, tall * 2), *points, (self.width * 2, tall * 2)], fill=255)
        body = gradient(self.width, tall, [(0.0, (4, 14, 24)), (1.0, (2, 7, 13))])
        return Sprite.of(body, mask.reduce(2))

    def draw(self, canvas: Canvas, at: float) -> None:
        """Stars, the two curtains, hills and their reflection, then the near shore."""
        canvas.paste(self._sky)
        self._stars.draw(canvas, at)
        masks = []
        for index, curtain in enumerate(self._curtains):
            shift = round(at * self.unit * (26, -17)[index] / _SHRINK) % curtain.width
            masks.append(
                ImageChops.offset(curtain, -shift, 0).crop(
                    (0, 0, self.width // _SHRINK, curtain.height)
                )
            )
        breath = 0.86 + 0.14 * math.sin(at * 0.8)
        both = ImageChops.screen(
            masks[0], masks[1].point([round(v * 0.9 * breath) for v in range(256)])
        )
        canvas.glaze(self._light, both)
        for hills in (self._far, self._near):
            canvas.paste(hills, 0, self._shore - hills.height)
        depth = self.height - self._shore
        sway = [
            round(math.sin(at * 2.1 + row * 0.9) * (0.4 + row * 0.12) * self.unit * 2)
            for row in range(depth // 6)
        ]
        canvas.mirror(self._shore, depth, sway, 2)
        canvas.paste(self._water, 0, self._shore)
        canvas.paste(self._pines, 0, self.height - self._pines.height)

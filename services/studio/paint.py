"""What the scenes are painted with: gradients, glows, noise, ridges, silhouettes.

Everything is drawn from a seeded `Random`, so that the same prompt always gives the same picture.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from random import Random

from PIL import Image, ImageChops, ImageDraw

from services.studio.canvas import Colour

Stops = Sequence[tuple[float, Colour]]


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """`share` (0 to 1) of the other colour."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def _between(stops: Stops, place: float) -> Colour:
    for (start, first), (end, second) in pairwise(stops):
        if place <= end:
            return mix(first, second, max(0.0, (place - start) / (end - start or 1)))
    return stops[-1][1]


def gradient(width: int, height: int, stops: Stops, rng: Random | None = None) -> Image.Image:
    """From top (0) to bottom (1), dithered with fine grain when `rng` is given, so that it shows no bands."""
    column = Image.new("RGB", (1, height))
    column.putdata([_between(stops, y / max(1, height - 1)) for y in range(height)])
    picture = column.resize((width, height), Image.Resampling.NEAREST)
    if rng is None:
        return picture
    grain = Image.frombytes("L", (width, height), rng.randbytes(width * height)).point(
        [v // 86 for v in range(256)]
    )
    return ImageChops.add(picture, Image.merge("RGB", (grain, grain, grain)), 1, -1)


def column(height: int, shape: Callable[[float], float], width: int = 1) -> Image.Image:
    """A grey mask whose level at each height is `shape(0 to 1)` (0 to 1)."""
    mask = Image.new("L", (1, height))
    mask.putdata(
        [round(255 * min(1.0, max(0.0, shape(y / max(1, height - 1))))) for y in range(height)]
    )
    return mask.resize((width, height), Image.Resampling.NEAREST)


def glow(diameter: int, power: float = 2.0, strength: float = 1.0) -> Image.Image:
    """A round mask, brightest in the middle, 0 at the rim (where Pillow's gradient has the level 180)."""
    lut = [round(255 * strength * max(0.0, 1 - level / 179) ** power) for level in range(256)]
    return (
        Image.radial_gradient("L").point(lut).resize((diameter, diameter), Image.Resampling.BICUBIC)
    )


def disc(diameter: int) -> Image.Image:
    """A round mask with a smooth rim."""
    big = Image.new("L", (diameter * 4, diameter * 4), 0)
    ImageDraw.Draw(big).ellipse((0, 0, diameter * 4 - 1, diameter * 4 - 1), fill=255)
    return big.reduce(4)


def noise(
    width: int, height: int, columns: int, rows: int, rng: Random, octaves: int = 4
) -> Image.Image:
    """Soft clouds of grey that tile sideways, with `columns` x `rows` of the largest ones."""
    total = Image.new("L", (width, height), 128)
    for octave in range(octaves):
        across, down = min(width, columns << octave), min(height, rows << octave)
        cells = Image.frombytes("L", (across, down), rng.randbytes(across * down))
        # A margin of the far side's cells lets the interpolation meet itself at the seam.
        wide = Image.new("L", (across + 4, down))
        wide.paste(cells.crop((across - 2, 0, across, down)), (0, 0))
        wide.paste(cells, (2, 0))
        wide.paste(cells.crop((0, 0, 2, down)), (across + 2, 0))
        layer = wide.resize((width, height), Image.Resampling.BICUBIC, box=(2, 0, across + 2, down))
        total = (
            layer if octave == 0 else ImageChops.add(total, layer.point(_share(0.5**octave)), 1, 0)
        )
        if octave:
            total = ImageChops.subtract(
                total, Image.new("L", (width, height), round(128 * 0.5**octave))
            )
    return total


def _share(part: float) -> list[int]:
    return [round(level * part) for level in range(256)]


def levels(mask: Image.Image, low: int, high: int, top: float = 1.0) -> Image.Image:
    """Stretches the levels from `low` to `high` over 0 to `top` (of 1), smoothly."""

    def curve(level: int) -> int:
        share = min(1.0, max(0.0, (level - low) / max(1, high - low)))
        return round(255 * top * share * share * (3 - 2 * share))

    return mask.point([curve(level) for level in range(256)])


def ridge(
    width: int, base: float, height: float, rng: Random, waves: int = 2, detail: float = 0.5
) -> list[float]:
    """The outline of hills that tile sideways: a y for each x, `base` less up to about `height`.

    `detail` is how much of each octave's strength the next, finer one has: 0.3 dunes, 0.6 rock.
    """
    octaves = max(1, int(math.log2(max(2, width / (waves * 6)))))
    terms = [
        (waves * 2**octave + rng.randrange(2), rng.random() * math.tau, detail**octave)
        for octave in range(octaves)
    ]
    full = sum(strength for *_, strength in terms)
    line = []
    for x in range(width):
        angle = x / width * math.tau
        value = sum(strength * math.sin(angle * rate + phase) for rate, phase, strength in terms)
        line.append(base - height * (0.5 + 0.5 * value / full))
    return line


def below(outline: Sequence[float], height: int) -> Image.Image:
    """The smooth mask of everything below an outline."""
    width = len(outline)
    big = Image.new("L", (width * 2, height * 2), 0)
    points = [(x * 2, y * 2) for x, y in enumerate(outline)]
    ImageDraw.Draw(big).polygon(
        [
            (-2, points[0][1]),
            *points,
            (width * 2, points[-1][1]),
            (width * 2, height * 2),
            (-2, height * 2),
        ],
        fill=255,
    )
    return big.reduce(2)


def pine(draw: ImageDraw.ImageDraw, x: float, foot: float, tall: float, rng: Random) -> None:
    """A conifer's silhouette (level 255) standing at (x, foot)."""
    tiers = max(4, int(tall / 9))
    points: list[tuple[float, float]] = [(x, foot - tall)]
    left: list[tuple[float, float]] = []
    for tier in range(1, tiers + 1):
        share = tier / tiers
        y = foot - tall * (1 - share * 0.94)
        reach = tall * 0.19 * share**0.85
        points.append((x + reach * rng.uniform(0.8, 1.1), y))
        points.append((x + reach * 0.5, y - tall * 0.015))
        left.append((x - reach * rng.uniform(0.8, 1.1), y))
        left.append((x - reach * 0.5, y - tall * 0.015))
    draw.polygon([*points, *reversed(left)], fill=255)
    draw.rectangle(
        (x - tall * 0.014, foot - tall * 0.1, x + tall * 0.014, foot + tall * 0.05), fill=255
    )

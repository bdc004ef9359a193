"""The prompt, drawn legibly near the foot of a picture."""

from PIL import Image, ImageDraw

from services.studio.canvas import Sprite
from services.studio.paint import column
from services.studio.text import font, runs_right_to_left, shortened, visual, wrap

_LEADING = 1.32


class Caption:
    """A block of text on a soft shadow; `sprite` goes to (0, `top`)."""

    def __init__(self, prompt: str, width: int, height: int) -> None:
        margin = max(6, round(width * 0.05))
        size, lines = _fit(prompt, width, height, width - 2 * margin)
        step = round(size * _LEADING)
        block = step * len(lines)
        # Players lay their controls over the lower edge, galleries the length of the film.
        foot = max(6, round(min(width, height) * 0.2))
        rise = round(block * 0.3 + height * 0.1)
        shadow = min(height, rise + block + foot) // 2 * 2
        darkest = (rise + block / 2) / shadow
        self.top = height - shadow
        picture = Image.new("RGB", (width, shadow), (6, 7, 12))
        ink = Image.new("L", (width, shadow), 0)
        draw = ImageDraw.Draw(ink)
        for index, line in enumerate(lines):
            y = shadow - foot - block + index * step
            right = runs_right_to_left(prompt)
            place, anchor = ((width - margin, y), "ra") if right else ((margin, y), "la")
            draw.text(place, visual(line), font=font(size), fill=255, anchor=anchor)
        shade = column(shadow, lambda y: 0.68 * min(1.0, y / darkest) ** 1.4, width)
        picture.paste((255, 255, 255), (0, 0), ink)
        shade.paste(255, (0, 0), ink)
        self.sprite = Sprite.of(picture, shade)


def _fit(prompt: str, width: int, height: int, room: int) -> tuple[int, list[str]]:
    """The largest size at which the prompt fits, and its lines; at the smallest one it is cut."""
    short = min(width, height)
    largest, smallest = max(11, round(short * 0.058)), max(9, round(short * 0.034))
    for size in range(largest, smallest - 1, -max(1, (largest - smallest) // 5)):
        most = max(1, round(height * (0.17 if size > smallest * 1.3 else 0.30) / (size * _LEADING)))
        lines, whole = wrap(prompt, size, room, most)
        if whole:
            return size, _balanced(prompt, size, room, lines)
    most = max(1, round(height * 0.30 / (smallest * _LEADING)))
    lines, whole = wrap(prompt, smallest, room, most)
    if not whole:
        lines[-1] = shortened(lines[-1], smallest, room)
    return smallest, lines


def _balanced(prompt: str, size: int, room: int, lines: list[str]) -> list[str]:
    """The same number of lines, as even as they get, so that no word is left alone on the last one."""
    narrow, wide = room // 2, room
    while len(lines) > 1 and wide - narrow > size // 2:
        middle = (narrow + wide) // 2
        tried, whole = wrap(prompt, size, middle, len(lines))
        if whole:
            wide, lines = middle, tried
        else:
            narrow = middle
    return lines

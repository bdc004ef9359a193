"""Text as lines of a picture: wrapping, direction, drawing, in any script the bundled font has.

Pillow shapes complex scripts where the system has FriBiDi; where it has not, right-to-left text is put
into visual order and Arabic letters are joined here, so that it reads right everywhere.
"""

import re
import unicodedata
from functools import cache
from pathlib import Path
from typing import Final

from PIL import ImageFont, features

_FONT: Final = Path(__file__).parent / "fonts" / "ReelgateSans-SemiBold.ttf"
_RTL: Final = ("R", "AL")
_NOT_FIRST: Final = frozenset("、。，．・：；？！）」』】〉》”’,.:;?!)]}ー々…")
_NOT_LAST: Final = frozenset("（「『【〈《“‘([{")
_MIRRORED: Final = str.maketrans("()[]{}<>«»", ")(][}{><»«")
_PIECES: Final = re.compile(r"\s+|[^\s]+")


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """The bundled font at a size in pixels."""
    return ImageFont.truetype(str(_FONT), size)


@cache
def shapes_by_itself() -> bool:
    """Whether Pillow can shape and order text here (it needs the system's FriBiDi)."""
    return bool(features.check("raqm") and features.check("fribidi"))


def runs_right_to_left(text: str) -> bool:
    """The direction of the first letter that has one."""
    for char in text:
        kind = unicodedata.bidirectional(char)
        if kind in ("L", *_RTL):
            return kind in _RTL
    return False


def wrap(text: str, size: int, width: int, most: int) -> tuple[list[str], bool]:
    """At most `most` lines no wider than `width` pixels, and whether the whole text is in them."""
    lines: list[str] = []
    for paragraph in text.splitlines() or [""]:
        rest = " ".join(paragraph.split())
        while rest:
            if len(lines) == most:
                return lines, False
            line, rest = _first_line(rest, size, width)
            lines.append(line)
    return lines, True


def shortened(line: str, size: int, width: int) -> str:
    """The line with an ellipsis after as much of it as fits."""
    units = _units(line)
    while units and font(size).getlength("".join(units).rstrip() + "…") > width:
        units.pop()
    return "".join(units).rstrip(" ,.;:，。、") + "…"


def _first_line(text: str, size: int, width: int) -> tuple[str, str]:
    """What fits on one line, and the rest. A unit wider than the line is cut."""
    face = font(size)
    units = _units(text)
    line = ""
    for index, unit in enumerate(units):
        longer = line + unit
        if face.getlength(longer.rstrip()) <= width:
            line = longer
            continue
        if not line:
            head = _longest(unit, size, width)
            return head, unit[len(head) :] + "".join(units[index + 1 :])
        return line.rstrip(), "".join(units[index:]).lstrip()
    return line.rstrip(), ""


def _longest(unit: str, size: int, width: int) -> str:
    """As many whole characters (with their marks) as fit, at least one."""
    head = ""
    for cluster in _clusters(unit):
        if head and font(size).getlength(head + cluster) > width:
            break
        head += cluster
    return head


def _clusters(text: str) -> list[str]:
    """Characters with the marks, joiners and variation selectors that belong to them."""
    clusters: list[str] = []
    for char in text:
        joined = clusters and (
            unicodedata.category(char) in ("Mn", "Mc", "Me", "Sk") or char in "\u200d\ufe0f"
        )
        if clusters and (joined or clusters[-1].endswith("\u200d")):
            clusters[-1] += char
        else:
            clusters.append(char)
    return clusters


def _breaks_anywhere(char: str) -> bool:
    """Whether a line may end before or after this character, as in Chinese, Japanese and Thai."""
    point = ord(char)
    return (
        0x2E80 <= point <= 0xA4CF
        or 0xF900 <= point <= 0xFAFF
        or 0xFF00 <= point <= 0xFFEF
        or 0xE00 <= point <= 0xE7F
    )


def _units(text: str) -> list[str]:
    """What a line may not break inside: words with the space after them, or single ideographs."""
    units: list[str] = []
    for piece in _PIECES.findall(text):
        if piece.isspace():
            if units:
                units[-1] += " "
            continue
        fresh = True
        for cluster in _clusters(piece):
            before = "" if fresh else units[-1][-1:]
            free = _breaks_anywhere(cluster[0]) or bool(before and _breaks_anywhere(before))
            if fresh or (free and cluster[0] not in _NOT_FIRST and before not in _NOT_LAST):
                units.append(cluster)
            else:
                units[-1] += cluster
            fresh = False
    return units


def visual(line: str) -> str:
    """The line as it is to be given to Pillow: unchanged where Pillow orders and joins the letters itself."""
    if shapes_by_itself() or not any(unicodedata.bidirectional(char) in _RTL for char in line):
        return line
    base = runs_right_to_left(line)
    runs = _directed_runs(_joined(line), base)
    if base:
        runs.reverse()
    return "".join(
        "".join(reversed(_clusters(run.translate(_MIRRORED)))) if back else run
        for run, back in runs
    )


def _directed_runs(line: str, base: bool) -> list[tuple[str, bool]]:
    """Runs of one direction; what has none goes with its neighbours, else with the line."""
    kinds: list[bool | None] = []
    for char in line:
        strength = unicodedata.bidirectional(char)
        kinds.append(True if strength in _RTL else False if strength in ("L", "EN", "AN") else None)
    for index, kind in enumerate(kinds):
        if kind is None:
            before = kinds[index - 1] if index else base
            after = next((later for later in kinds[index + 1 :] if later is not None), base)
            kinds[index] = before if before == after else base
    runs: list[tuple[str, bool]] = []
    for char, back in zip(line, kinds, strict=True):
        if runs and runs[-1][1] == back:
            runs[-1] = (runs[-1][0] + char, bool(back))
        else:
            runs.append((char, bool(back)))
    return runs


@cache
def _forms() -> dict[str, dict[str, str]]:
    """Each Arabic letter's forms (isolated, final, initial, medial), from Unicode's own decompositions."""
    forms: dict[str, dict[str, str]] = {}
    for point in (*range(0xFB50, 0xFC00), *range(0xFE80, 0xFEFD)):
        parts = unicodedata.decomposition(chr(point)).split()
        if len(parts) == 2:
            forms.setdefault(chr(int(parts[1], 16)), {})[parts[0].strip("<>")] = chr(point)
        elif len(parts) == 3 and parts[1] == "0644":
            forms.setdefault("\u0644" + chr(int(parts[2], 16)), {})[parts[0].strip("<>")] = chr(
                point
            )
    return forms


def _joined(line: str) -> str:
    """Arabic letters replaced by the form they take beside their neighbours."""
    forms = _forms()
    letters = [line[i : i + 2] if line[i : i + 2] in forms else line[i] for i in range(len(line))]
    letters = [letter for i, letter in enumerate(letters) if not (i and len(letters[i - 1]) == 2)]
    solid = [i for i, letter in enumerate(letters) if unicodedata.category(letter[0]) != "Mn"]
    for place, index in enumerate(solid):
        shapes = forms.get(letters[index], {})
        before = forms.get(letters[solid[place - 1]], {}) if place else {}
        after = forms.get(letters[solid[place + 1]], {}) if place + 1 < len(solid) else {}
        # Forms are looked up by the plain letters, so replaced ones are written to a copy below.
        joins_before, joins_after = (
            "initial" in before and "final" in shapes,
            "initial" in shapes and "final" in after,
        )
        name = {(True, True): "medial", (True, False): "final", (False, True): "initial"}.get(
            (joins_before, joins_after), "isolated"
        )
        letters[index] = _Shaped(letters[index], shapes.get(name))
    return "".join(letter.shape if isinstance(letter, _Shaped) else letter for letter in letters)


class _Shaped(str):
    """A letter that still compares as itself and knows the form to draw."""

    __slots__ = ("shape",)
    shape: str

    def __new__(cls, letter: str, shape: str | None) -> "_Shaped":
        made = super().__new__(cls, letter)
        made.shape = shape or letter
        return made

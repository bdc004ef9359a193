"""What a command writes: steps, tables, a bar that moves; plain where there is no terminal or no UTF-8."""

import shutil
import textwrap
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TextIO

Mark = Literal["ok", "warning", "failed"]

_SIGNS: Final[dict[Mark, tuple[str, str]]] = {
    "ok": ("✓", "+"),
    "warning": ("!", "!"),
    "failed": ("✗", "x"),
}
_COLOURS: Final[dict[Mark, str]] = {"ok": "32", "warning": "33", "failed": "31"}
_DIM: Final = "2"
_CURE_INDENT: Final = " " * 4
_BAR_CELLS: Final = 24
_CLEAR_LINE: Final = "\r\x1b[2K"


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a trial, as it is shown; ``cure`` is empty when there is nothing to do."""

    mark: Mark
    name: str
    detail: str
    cure: str
    milliseconds: float


class Screen:
    """Writes to ``out``; colours and moving lines only on a terminal, colours only where they are wanted."""

    def __init__(self, out: TextIO, *, colours: bool) -> None:
        self._out = out
        self._encoding = out.encoding or "ascii"
        self.is_terminal = out.isatty()
        self._colours = colours and self.is_terminal
        self._is_utf8 = self._encoding.lower().replace("-", "") == "utf8"
        self._bar_shown = False

    def line(self, text: str = "") -> None:
        """One line; what the output can not show is replaced, control characters never reach the terminal."""
        self._end_bar()
        self._write(self._shown(text) + "\n")

    def step(self, step: Step, name_width: int) -> None:
        """A step as soon as it ended, and below it what to do about it."""
        self._end_bar()
        sign = self._painted(
            _SIGNS[step.mark][0 if self._is_utf8 else 1],
            _COLOURS[step.mark],
        )
        took = self._painted(f"({step.milliseconds:,.0f} ms)", _DIM)
        name = self._shown(step.name).ljust(name_width)
        self._write(f"{sign} {name}  {self._shown(step.detail)} {took}\n")
        if step.cure:
            self._write(f"{self._indented(self._shown(step.cure))}\n")

    def bar(self, done: int, total: int, text: str) -> None:
        """Draws a bar over the last one; nothing without a terminal. ``total`` 0 means that it is not known."""
        if not self.is_terminal:
            return
        full, empty = ("█", "·") if self._is_utf8 else ("#", ".")
        drawn = ""
        if total > 0:
            share = min(1.0, done / total)
            cells = round(share * _BAR_CELLS)
            drawn = f"{full * cells}{empty * (_BAR_CELLS - cells)} {share:4.0%}  "
        width = shutil.get_terminal_size().columns - 1
        self._write(_CLEAR_LINE + (drawn + self._shown(text))[:width])
        self._bar_shown = True

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[str]], right: str = "") -> None:
        """Columns as wide as what stands in them; ``right`` names those that are set to the right by a ">"."""
        shown = [[self._shown(cell) for cell in row] for row in (heads, *rows)]
        widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
        sides = right.ljust(len(widths))
        for number, row in enumerate(shown):
            cells = (
                cell.rjust(width) if side == ">" else cell.ljust(width)
                for cell, width, side in zip(row, widths, sides, strict=True)
            )
            text = "  ".join(cells).rstrip()
            self._write((self._painted(text, _DIM) if number == 0 else text) + "\n")

    def _end_bar(self) -> None:
        if self._bar_shown:
            self._write(_CLEAR_LINE)
            self._bar_shown = False

    def _indented(self, text: str) -> str:
        width = shutil.get_terminal_size().columns if self.is_terminal else 0
        lines = textwrap.wrap(text, width - len(_CURE_INDENT)) if width > 40 else [text]
        return "\n".join(_CURE_INDENT + line for line in lines)

    def _painted(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colours else text

    def _shown(self, text: str) -> str:
        # Details quote servers and file names: an escape sequence in them would be obeyed.
        plain = "".join(" " if unicodedata.category(letter) == "Cc" else letter for letter in text)
        return plain.encode(self._encoding, "replace").decode(self._encoding)

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()

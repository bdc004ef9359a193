"""What a command writes, on a terminal and off it."""

import io

import pytest

from services.cli import figures
from services.cli.screen import Screen, Step

_FAILED = Step("failed", "upload", "Zugriff über ✗ verweigert.", "Gib ihr s3:PutObject.", 1234.5)


class _Output(io.TextIOWrapper):
    """An output that is a terminal or not, in any encoding."""

    def __init__(self, encoding: str = "utf-8", *, is_terminal: bool = False) -> None:
        super().__init__(io.BytesIO(), encoding=encoding)
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal

    @property
    def text(self) -> str:
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue().decode(self.encoding)


def test_a_pipe_gets_no_colours() -> None:
    out = _Output()
    Screen(out, colours=True).step(_FAILED, 9)

    assert out.text == (
        "✗ upload     Zugriff über ✗ verweigert. (1,234 ms)\n    Gib ihr s3:PutObject.\n"
    )


def test_a_terminal_gets_colours_unless_they_are_not_wanted() -> None:
    coloured, plain = _Output(is_terminal=True), _Output(is_terminal=True)
    Screen(coloured, colours=True).step(_FAILED, 9)
    Screen(plain, colours=False).step(_FAILED, 9)

    assert "\x1b[31m✗\x1b[0m upload" in coloured.text
    assert "\x1b" not in plain.text


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_without_utf_8_the_marks_are_ascii_and_nothing_breaks(encoding: str) -> None:
    out = _Output(encoding)
    screen = Screen(out, colours=True)
    for mark in ("ok", "warning", "failed"):
        screen.step(Step(mark, "s", "über ✗", "", 1), 1)

    marks = [line.split(" ", 1)[0] for line in out.text.splitlines()]
    assert marks == ["+", "!", "x"]
    assert "ber ? (1 ms)" in out.text


def test_a_bar_moves_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    terminal, pipe = _Output(is_terminal=True), _Output()
    for out in (terminal, pipe):
        screen = Screen(out, colours=True)
        screen.bar(1, 2, "half")
        screen.bar(5, 0, "nobody knows")
        screen.bar(9, 3, "more than all")
        screen.line("done")

    clear = "\r\x1b[2K"
    assert terminal.text == (
        f"{clear}{'█' * 12}{'·' * 12}  50%  half"
        f"{clear}nobody knows"
        f"{clear}{'█' * 24} 100%  more than all"
        f"{clear}done\n"
    )
    assert pipe.text == "done\n"


def test_a_bar_never_wraps_into_a_second_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    out = _Output("ascii", is_terminal=True)
    Screen(out, colours=True).bar(1, 1, "x" * 100)

    assert out.text == "\r\x1b[2K" + "#" * 24 + " 100%"


def test_a_long_cure_is_wrapped_to_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    out = _Output(is_terminal=True)
    Screen(out, colours=False).step(Step("failed", "a", "b", "word " * 30, 1), 1)

    cure = out.text.splitlines()[1:]
    assert len(cure) > 1
    assert all(line.startswith("    word") and len(line) <= 60 for line in cure)


def test_columns_are_as_wide_as_what_stands_in_them() -> None:
    out = _Output()
    Screen(out, colours=True).table(("a", "long head"), [("1", "2"), ("333", "\x1b[0m")], " >")

    assert out.text == "a    long head\n1            2\n333        [0m\n"


@pytest.mark.parametrize(
    ("size_bytes", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 KB"),
        (999_949, "999.9 KB"),
        (999_950, "1.0 MB"),
        (2.1e9, "2.1 GB"),
        (5e18, "5000.0 PB"),
    ],
)
def test_sizes(size_bytes: float, shown: str) -> None:
    assert figures.size(size_bytes) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 ms"),
        (0.85, "850 ms"),
        (0.9999, "1.0 s"),
        (1, "1.0 s"),
        (59.99, "1 min 00 s"),
        (60, "1 min 00 s"),
        (245.4, "4 min 05 s"),
    ],
)
def test_time_spans(seconds: float, shown: str) -> None:
    assert figures.seconds(seconds) == shown


@pytest.mark.parametrize(
    ("usd", "shown"), [(0, "$0.00"), (0.004, "< $0.01"), (0.01, "$0.01"), (1234.5, "$1,234.50")]
)
def test_money(usd: float, shown: str) -> None:
    assert figures.dollars(usd) == shown

"""Prompts are wrapped and ordered as their scripts are read."""

import pytest

from services.studio import text
from services.studio.text import font, runs_right_to_left, shortened, visual, wrap


def test_words_are_kept_whole_and_lines_keep_within_the_width() -> None:
    lines, whole = wrap("the quick brown fox jumps over the lazy dog", 20, 160, 9)
    assert whole
    assert " ".join(lines) == "the quick brown fox jumps over the lazy dog"
    assert all(font(20).getlength(line) <= 160 for line in lines)


def test_chinese_breaks_between_characters_but_never_before_a_full_stop() -> None:
    prompt = "夕阳下的长城，风吹过草原。远处有一队骆驼穿过沙漠。"
    for width in range(60, 300, 20):
        lines, _ = wrap(prompt, 20, width, 99)
        assert "".join(lines) == prompt
        assert not any(line[0] in "，。" for line in lines)


def test_a_word_longer_than_the_line_is_cut_between_characters_not_inside_them() -> None:
    lines, whole = wrap("é" * 3 + "e\u0301" * 30, 20, 100, 99)
    assert whole
    assert not any(line.startswith("\u0301") for line in lines)


def test_what_does_not_fit_is_told_and_ends_with_an_ellipsis() -> None:
    lines, whole = wrap("word " * 200, 20, 200, 3)
    assert (len(lines), whole) == (3, False)
    cut = shortened(lines[-1], 20, 200)
    assert cut.endswith("…")
    assert font(20).getlength(cut) <= 200


def test_the_direction_is_that_of_the_first_letter() -> None:
    assert runs_right_to_left("1. مرحبا")
    assert runs_right_to_left("שלום abc")
    assert not runs_right_to_left("abc שלום")
    assert not runs_right_to_left("123")


def test_without_fribidi_arabic_is_joined_and_put_into_visual_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(text, "shapes_by_itself", lambda: False)
    # seen + lam-alef + meem: initial seen, final ligature, isolated meem, drawn from the left.
    assert visual("سلام") == "\ufee1\ufefc\ufeb3"
    assert visual("abc שלום (x)") == "abc םולש (x)"
    assert visual("שלום (א)") == "(א) םולש"
    assert visual("plain") == "plain"

"""E12: the picture that a trial uploads."""

import io
import sys

import pytest
from PIL import Image

from services.storage.trial.picture import make_picture


def test_it_is_a_jpeg_of_800_by_600_and_never_the_same() -> None:
    body, what = make_picture()
    with Image.open(io.BytesIO(body)) as picture:
        assert (picture.format, picture.size) == ("JPEG", (800, 600))
        picture.load()
    assert what == "A JPEG of 800 × 600"
    assert body != make_picture()[0]


def test_without_pillow_a_trial_still_has_something_to_upload(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    body, what = make_picture()
    assert len(body) > 10_000
    assert what == "A file"

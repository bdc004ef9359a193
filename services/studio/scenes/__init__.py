"""The scenes, and which of them a prompt gets: one whose words it has, else one by the prompt's hash."""

import hashlib
import re
from random import Random

from PIL import Image

from services.studio.scenes.aurora import Aurora
from services.studio.scenes.balloons import Balloons
from services.studio.scenes.base import Scene
from services.studio.scenes.city import City
from services.studio.scenes.dunes import Dunes
from services.studio.scenes.forest import Forest, Snowfall
from services.studio.scenes.photo import Photo
from services.studio.scenes.sea import Sea
from services.studio.scenes.space import Space
from services.studio.scenes.valley import Valley

__all__ = ["Scene", "scene_for"]

_SCENES: tuple[type[Scene], ...] = (
    Dunes,
    Balloons,
    Space,
    Aurora,
    Snowfall,
    Forest,
    City,
    Sea,
    Valley,
)


def scene_for(
    prompt: str,
    width: int,
    height: int,
    seconds: float,
    *,
    reference: Image.Image | None = None,
    variant: int = 0,
) -> Scene:
    """The scene of a prompt, painted. The same arguments always give the same pixels.

    `reference` is drawn into the picture; `variant` tells the pictures of one request apart.
    """
    digest = hashlib.sha256(f"{prompt}\0{variant}".encode()).digest()
    rng = Random(digest)  # noqa: S311 - a picture, not a secret
    if reference is not None:
        return Photo(width, height, seconds, rng, reference.convert("RGB"))
    return _kind(prompt, digest)(width, height, seconds, rng)


def _kind(prompt: str, digest: bytes) -> type[Scene]:
    text = prompt.casefold()
    earliest: dict[int, type[Scene]] = {}
    for scene in _SCENES:
        for word in scene.words.split():
            found = re.search(_pattern(word), text)
            if found:
                earliest.setdefault(found.start(), scene)
    return earliest[min(earliest)] if earliest else _SCENES[digest[0] % len(_SCENES)]


def _pattern(word: str) -> str:
    """English words count whole ("sea" is not in "season"), other stems at a word's start."""
    if word.isascii():
        return rf"\b{word}(?:s|es)?\b"
    return rf"\b{word}" if word[0] < "\u0600" else word

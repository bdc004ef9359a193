"""The model catalogue: what can be asked for, what it costs, how much room to reserve. Its data: catalogue.toml."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from services.kernel.errors import InvalidArgument

MediaType = Literal["video", "image"]
_FILE = Path(__file__).with_name("catalogue.toml")
_MAX_COUNT = 10


@dataclass(frozen=True, slots=True)
class Model:
    """One entry. `size` is "WIDTHxHEIGHT" in pixels, `reserve_bytes` for one medium, `credits` for one medium."""

    id: str
    family: str
    name: str
    media_type: MediaType
    orientation: str
    duration_seconds: int | None
    size: str
    reserve_bytes: int
    credits: int
    upstream_model: str


@dataclass(frozen=True, slots=True)
class Wish:
    """What a caller says beside the model; empty fields were not said."""

    media_type: str = ""
    orientation: str = ""
    duration_seconds: float | None = None
    count: int = 0
    parameters: Mapping[str, Any] | None = None


def _variants(family: Mapping[str, Any]) -> list[Model]:
    is_video = family["media_type"] == "video"
    models: list[Model] = []
    for orientation, size in family["sizes"].items():
        for seconds in family.get("durations", [0]):
            if is_video:
                model_id = f"{family['id']}-{orientation}-{seconds}s"
            else:
                model_id = (
                    family["id"] if orientation == "square" else f"{family['id']}-{orientation}"
                )
            models.append(
                Model(
                    id=model_id,
                    family=family["id"],
                    name=family["name"],
                    media_type=family["media_type"],
                    orientation=orientation,
                    duration_seconds=seconds or None,
                    size=size,
                    reserve_bytes=family["reserve"] * (seconds or 1),
                    credits=family["credits"][str(seconds)],
                    upstream_model=family["upstream_model"],
                )
            )
    return models


class Catalogue:
    """All models, by id, in the order of the file."""

    def __init__(self, text: str) -> None:
        families = tomllib.loads(text)["family"]
        self._models = {model.id: model for family in families for model in _variants(family)}

    @classmethod
    def default(cls) -> "Catalogue":
        """The one that comes with the product."""
        return cls(_FILE.read_text())

    def __iter__(self) -> Any:
        return iter(self._models.values())

    def choose(self, model_id: str, wish: Wish) -> tuple[Model, int]:
        """The model and how many media. Raises InvalidArgument that names the field that is wrong or disagrees."""
        model = self._models.get(model_id)
        if model is None:
            raise InvalidArgument(f"There is no model {model_id[:100]!r}.", field="model")
        _agree("media_type", wish.media_type, model.media_type)
        _agree("orientation", wish.orientation, model.orientation)
        if wish.duration_seconds is not None:
            _agree("duration_seconds", wish.duration_seconds, model.duration_seconds)
        for name in wish.parameters or {}:
            message = f"The model {model.id} has no parameter {name[:100]!r}."
            raise InvalidArgument(message, field=f"parameters.{name[:100]}")
        count = wish.count or 1
        if not 1 <= count <= (_MAX_COUNT if model.media_type == "image" else 1):
            most = f"1 to {_MAX_COUNT}" if model.media_type == "image" else "1 for a video"
            raise InvalidArgument(f"n must be {most}.", field="n")
        return model, count


def _agree(field: str, said: object, is_so: object) -> None:
    if said and said != is_so:
        raise InvalidArgument(
            f"{field} {said!r} disagrees with the model, which has {is_so!r}.", field=field
        )

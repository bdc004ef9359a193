"""The model catalogue: which models there are, and what a wish may say beside a model's id."""

from typing import Any

import pytest

from services.gateway.catalogue import Catalogue, Model, Wish
from services.kernel.errors import InvalidArgument


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    """The one that comes with the product."""
    return Catalogue.default()


@pytest.fixture(scope="module")
def models(catalogue: Catalogue) -> dict[str, Model]:
    """By id."""
    return {model.id: model for model in catalogue}


def test_the_models_out_of_the_box_are_those_of_the_contract(models: dict[str, Model]) -> None:
    expected = {
        f"{family}-{orientation}-{seconds}s"
        for family, durations in (
            ("sora2", (10, 15, 25)),
            ("sora2pro", (10, 15, 25)),
            ("sora2pro-hd", (10, 15)),
        )
        for orientation in ("landscape", "portrait")
        for seconds in durations
    } | {"gpt-image", "gpt-image-landscape", "gpt-image-portrait"}
    assert set(models) == expected


def test_each_model_is_as_its_id_says(models: dict[str, Model]) -> None:
    for model in models.values():
        width, height = map(int, model.size.split("x"))
        shape = "landscape" if width > height else "portrait" if height > width else "square"
        assert model.orientation == shape
        assert model.media_type == ("image" if model.family == "gpt-image" else "video")
        assert (model.duration_seconds is None) == (model.media_type == "image")
        if model.duration_seconds is not None:
            assert model.id == f"{model.family}-{shape}-{model.duration_seconds}s"
        assert model.credits > 0
        assert model.reserve_bytes > 0
        assert model.name


def test_longer_videos_cost_and_reserve_more(models: dict[str, Model]) -> None:
    for family in ("sora2", "sora2pro", "sora2pro-hd"):
        one, two = models[f"{family}-portrait-10s"], models[f"{family}-portrait-15s"]
        assert one.credits < two.credits
        assert two.reserve_bytes * 10 == one.reserve_bytes * 15


def test_a_model_alone_is_enough(catalogue: Catalogue) -> None:
    model, count = catalogue.choose("sora2-landscape-10s", Wish())
    assert (model.id, count) == ("sora2-landscape-10s", 1)


def test_a_wish_may_repeat_what_the_id_says(catalogue: Catalogue) -> None:
    wish = Wish("video", "portrait", 15.0, 1, {})
    assert catalogue.choose("sora2pro-portrait-15s", wish)[0].id == "sora2pro-portrait-15s"
    assert catalogue.choose("gpt-image", Wish("image", "square", None, 10))[1] == 10


@pytest.mark.parametrize(
    ("model_id", "wish", "field"),
    [
        ("sora3", {}, "model"),
        ("", {}, "model"),
        ("SORA2-landscape-10s", {}, "model"),
        ("sora2", {}, "model"),
        ("sora2-landscape-10s", {"media_type": "image"}, "media_type"),
        ("sora2-landscape-10s", {"orientation": "portrait"}, "orientation"),
        ("sora2-landscape-10s", {"duration_seconds": 15}, "duration_seconds"),
        ("sora2-landscape-10s", {"duration_seconds": 10.5}, "duration_seconds"),
        ("gpt-image", {"duration_seconds": 10}, "duration_seconds"),
        ("sora2-landscape-10s", {"count": 2}, "n"),
        ("gpt-image", {"count": 11}, "n"),
        ("gpt-image", {"count": -1}, "n"),
        ("gpt-image", {"parameters": {"seed": 1}}, "parameters.seed"),
    ],
)
def test_a_wish_that_disagrees_is_refused_and_named(
    catalogue: Catalogue, model_id: str, wish: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        catalogue.choose(model_id, Wish(**wish))
    assert refused.value.field == field


def test_a_refusal_does_not_repeat_endless_input(catalogue: Catalogue) -> None:
    with pytest.raises(InvalidArgument) as refused:
        catalogue.choose("x" * 10_000, Wish())
    assert len(refused.value.message) < 200

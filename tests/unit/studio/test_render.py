"""What the renderer makes is a real video: it plays, it moves, it shows the prompt (J6)."""

import json
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest
from PIL import Image, ImageChops, ImageStat

from services.studio.canvas import Canvas
from services.studio.caption import Caption
from services.studio.order import FPS, Order
from services.studio.scenes import scene_for
from tests.unit.studio.conftest import render

EVERY_SCENE = (
    "camels in the desert",
    "a balloon",
    "a planet",
    "the aurora",
    "snow",
    "a forest",
    "a city",
    "the sea",
    "a mountain",
)


def picture_of(frame: av.VideoFrame) -> Image.Image:
    picture = frame.to_image()  # type: ignore[no-untyped-call]
    assert isinstance(picture, Image.Image)
    return picture


def frames(path: Path) -> list[Image.Image]:
    with av.open(str(path)) as container:
        return [picture_of(frame) for frame in container.decode(video=0)]


def difference(one: Image.Image, other: Image.Image) -> float:
    """The mean difference of two pictures' levels."""
    return sum(ImageStat.Stat(ImageChops.difference(one, other)).mean) / 3


def test_a_clip_is_h264_yuv420p_of_the_asked_size_and_duration(clip: Path) -> None:
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert (stream.width, stream.height) == (320, 180)
        assert stream.average_rate == FPS
        assert stream.frames == 2 * FPS
        assert Fraction(stream.duration or 0) * Fraction(stream.time_base or 0) == 2


def test_the_index_comes_before_the_pictures_so_that_browsers_start_at_once(clip: Path) -> None:
    content = clip.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


def test_something_moves_all_the_time(clip: Path) -> None:
    pictures = frames(clip)[:: FPS // 2]
    assert all(difference(one, other) > 0.05 for one, other in pairwise(pictures))
    assert difference(pictures[0], pictures[-1]) > 0.3


def test_the_same_order_gives_the_same_bytes(clip: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.mp4"
    render(Order("video", "A lighthouse by the sea", 320, 180, str(again), seconds=2.0))
    assert again.read_bytes() == clip.read_bytes()


def test_ten_seconds_in_full_size_report_each_frame_and_leave_a_thumbnail(tmp_path: Path) -> None:
    path, thumbnail = tmp_path / "full.mp4", tmp_path / "full.webp"
    order = Order(
        "video", "夕阳下的海", 1280, 720, str(path), seconds=10.0, thumbnail=str(thumbnail)
    )
    lines = render(order)
    assert [json.loads(line)["frames"] for line in lines] == list(range(1, 241))
    with av.open(str(path)) as container:
        assert (container.streams.video[0].width, container.streams.video[0].height) == (1280, 720)
        assert container.duration == pytest.approx(10_000_000, abs=1000)
    with Image.open(thumbnail) as picture:
        assert (picture.format, picture.size) == ("WEBP", (480, 270))
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("prompt", EVERY_SCENE)
@pytest.mark.parametrize("size", [(320, 180), (180, 320), (256, 256)])
def test_every_scene_fills_every_shape_and_moves(prompt: str, size: tuple[int, int]) -> None:
    scene, canvas = scene_for(prompt, *size, 4.0), Canvas(*size)
    scene.draw(canvas, 0.0)
    first = canvas.picture()
    scene.draw(canvas, 3.5)
    assert difference(first, canvas.picture()) > 0.2
    assert all(spread > 5 for spread in ImageStat.Stat(first).stddev)


@pytest.mark.parametrize("size", [(130, 98), (64, 512)])
@pytest.mark.parametrize("prompt", EVERY_SCENE)
def test_every_scene_can_be_drawn_in_odd_sizes(prompt: str, size: tuple[int, int]) -> None:
    scene, canvas = scene_for(prompt, *size, 1.0), Canvas(*size)
    for moment in (0.0, 0.9, 60.0):
        scene.draw(canvas, moment)


@pytest.mark.parametrize("size", [(1, 1), (1280, 720), (77, 901), (3000, 20)])
def test_a_reference_of_any_shape_is_taken(size: tuple[int, int]) -> None:
    canvas, reference = Canvas(180, 320), Image.new("RGB", size, (200, 200, 40))
    scene_for("any", 180, 320, 1.0, reference=reference).draw(canvas, 0.5)
    assert ImageStat.Stat(canvas.picture()).mean[0] > 150


def test_different_prompts_look_different_and_one_prompt_always_the_same() -> None:
    def picture(prompt: str, variant: int = 0) -> Image.Image:
        canvas = Canvas(160, 90)
        scene_for(prompt, 160, 90, 2.0, variant=variant).draw(canvas, 1.0)
        return canvas.picture()

    pictures = [picture(f"prompt {number}") for number in range(6)]
    assert all(difference(pictures[0], other) > 2 for other in pictures[1:])
    assert picture("prompt 0").tobytes() == pictures[0].tobytes()
    assert difference(picture("prompt 0", variant=1), pictures[0]) > 2


def test_the_words_of_a_prompt_choose_the_scene_in_any_language() -> None:
    chosen = {
        type(scene_for(prompt, 64, 64, 1.0)).__name__
        for prompt in ("A quiet ocean", "夕阳下的海", "Закат над морем", "غروب الشمس فوق البحر")
    }
    assert chosen == {"Sea"}
    assert type(scene_for("the fox in the season of snow", 64, 64, 1.0)).__name__ == "Forest"


@pytest.mark.parametrize(
    "prompt",
    [
        "Hello",
        "Привет, мир",
        "Γειά σου",
        "夕阳下的长城",
        "日本の夜",
        "안녕하세요",
        "مرحبا بالعالم",
        "שלום",
        "हिन्दी",
        "ไทย",
        "🚀🌅",
    ],
)
def test_the_prompt_is_drawn_in_its_own_script(prompt: str) -> None:
    def drawn(text: str) -> Image.Image:
        caption, canvas = Caption(text, 480, 270), Canvas(480, 270)
        canvas.paste(caption.sprite, 0, caption.top)
        return canvas.luma.copy()

    picture = drawn(prompt)
    white = sum(picture.histogram()[200:])
    assert white > 40
    # A private-use character has no glyph: the box drawn for it is not what was drawn for the prompt.
    assert picture.tobytes() != drawn("\ue000" * len(prompt)).tobytes()


def test_another_text_changes_the_pixels_and_a_very_long_one_is_cut() -> None:
    short, long = Caption("one", 320, 180), Caption("many words " * 400, 320, 180)
    assert short.sprite.luma.tobytes() != Caption("two", 320, 180).sprite.luma.tobytes()
    assert long.sprite.height <= 180 * 0.75


def test_a_reference_is_drawn_into_the_picture(tmp_path: Path) -> None:
    reference = tmp_path / "red.png"
    Image.new("RGB", (300, 500), (220, 30, 30)).save(reference)
    order = Order("image", "in red", 256, 256, str(tmp_path / "out.png"), reference=str(reference))
    render(order)
    render(replace(order, output=str(tmp_path / "plain.png"), reference=None))
    with Image.open(tmp_path / "out.png") as picture, Image.open(tmp_path / "plain.png") as plain:
        assert picture.size == (256, 256)
        red, green, blue = ImageStat.Stat(picture.crop((0, 0, 256, 100))).mean
        assert red > 180
        assert green < 60 > blue
        assert difference(picture, plain) > 20

"""What callers may ask for, read from JSON or a multipart form and checked field by field."""

import base64
import binascii
import hashlib
import io
import json
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import BodyPartReader, web
from PIL import Image, UnidentifiedImageError

from services.studio.errors import ApiError, invalid

VIDEO_MODELS: Final = ("sora-2", "sora-2-pro", "studio-video")
IMAGE_MODELS: Final = (
    "gpt-image",
    "gpt-image-1",
    "gpt-image-1-mini",
    "gpt-image-1.5",
    "studio-image",
)
_LONGEST_PROMPT: Final = 32_000
_LONGEST_VIDEO: Final = 60
_SIDES: Final = (64, 2048)
_MOST_PIXELS: Final = 1920 * 1088
_LARGEST_REFERENCE: Final = 24 * 2**20
_MOST_REFERENCE_PIXELS: Final = 50_000_000


@dataclass(frozen=True, slots=True)
class VideoRequest:
    """A checked `POST /v1/videos`. `seconds` and `size` are kept as they are answered."""

    model: str
    prompt: str
    seconds: str
    size: str
    metadata: dict[str, Any] | None = None
    reference: bytes | None = field(default=None, repr=False)

    @property
    def dimensions(self) -> tuple[int, int]:
        """Width and height in pixels."""
        width, _, height = self.size.partition("x")
        return int(width), int(height)

    def fingerprint(self) -> str:
        """The same for the same request; tells when an idempotency key is used for another one."""
        parts = [
            self.model,
            self.prompt,
            self.seconds,
            self.size,
            hashlib.sha256(self.reference or b"").hexdigest(),
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """A checked `POST /v1/images/generations`."""

    model: str
    prompt: str
    count: int
    width: int
    height: int
    base64: bool

    def fingerprint(self) -> str:
        """The same for the same request."""
        parts = [self.model, self.prompt, self.count, self.width, self.height, self.base64]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


async def read_fields(request: web.Request) -> dict[str, Any]:
    """The body's fields; a file's value is its bytes."""
    if request.content_type.startswith("multipart/"):
        return await _form_fields(request)
    try:
        body = json.loads(await request.read() or b"null")
        json.dumps(body, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except ValueError as problem:
        raise ApiError(400, f"The body is not JSON: {problem}.", "invalid_json") from problem
    if not isinstance(body, dict):
        raise ApiError(400, "The body must be a JSON object or a multipart form.", "invalid_json")
    return body


async def _form_fields(request: web.Request) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    try:
        async for part in await request.multipart():
            if isinstance(part, BodyPartReader) and part.name:
                value = await part.read(decode=True)
                if len(value) > _LARGEST_REFERENCE:
                    raise invalid(part.name, f"{part.name} is larger than 24 MiB.", "too_large")
                name, _, inner = part.name.partition("[")
                entry = bytes(value) if part.filename else value.decode()
                if inner:  # OpenAI's clients write an object's fields as name[field]
                    fields.setdefault(name, {})[inner.rstrip("]")] = entry
                else:
                    fields[name] = entry
    except ValueError as problem:
        raise ApiError(
            400, f"The multipart form can not be read: {problem}.", "invalid_form"
        ) from problem
    return fields


def video_request(fields: Mapping[str, Any]) -> VideoRequest:
    """Checks a video's fields.

    Raises:
        ApiError: 400, naming the first wrong field.
    """
    return VideoRequest(
        model=_model(fields, VIDEO_MODELS),
        prompt=_prompt(fields),
        seconds=_seconds(fields.get("seconds", "4")),
        size="{}x{}".format(*_size(fields.get("size", "720x1280"), even=True)),
        metadata=_metadata(fields.get("metadata")),
        reference=_reference(fields.get("input_reference")),
    )


def image_request(fields: Mapping[str, Any]) -> ImageRequest:
    """Checks an image's fields.

    Raises:
        ApiError: 400, naming the first wrong field.
    """
    model = _model(fields, IMAGE_MODELS)
    count = fields.get("n", 1)
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= 10:
        raise invalid("n", "n must be a whole number from 1 to 10.")
    form = fields.get("response_format") or "url"
    if form not in ("url", "b64_json"):
        raise invalid("response_format", "response_format must be url or b64_json.")
    if fields.get("output_format", "png") != "png":
        raise invalid("output_format", "The studio makes png only.", "unsupported_value")
    if fields.get("stream"):
        raise invalid("stream", "The studio does not stream images.", "unsupported_value")
    size = fields.get("size") or "auto"
    width, height = (1024, 1024) if size == "auto" else _size(size, even=False)
    # As at OpenAI: its GPT image models always answer with the bytes.
    return ImageRequest(
        model, _prompt(fields), count, width, height, form == "b64_json" or model.startswith("gpt-")
    )


def _model(fields: Mapping[str, Any], known: tuple[str, ...]) -> str:
    model = fields.get("model", known[0])
    if model not in known:
        raise invalid(
            "model",
            f"The model {model!r} does not exist here; there are {', '.join(known)}.",
            "model_not_found",
        )
    return str(model)


def _prompt(fields: Mapping[str, Any]) -> str:
    prompt = fields.get("prompt")
    if not isinstance(prompt, str) or not prompt.strip():
        raise invalid(
            "prompt",
            "prompt is missing: say what the picture shall show.",
            "missing_required_parameter",
        )
    if len(prompt) > _LONGEST_PROMPT:
        raise invalid(
            "prompt",
            f"prompt has {len(prompt)} characters; {_LONGEST_PROMPT} is the most.",
            "string_too_long",
        )
    return prompt


def _seconds(value: Any) -> str:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if (
        not isinstance(text, str)
        or not re.fullmatch(r"[1-9][0-9]?", text)
        or int(text) > _LONGEST_VIDEO
    ):
        raise invalid(
            "seconds",
            f'seconds must be a string with a whole number from "1" to "{_LONGEST_VIDEO}", not {value!r}.',
        )
    return text


def _size(value: Any, *, even: bool) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{2,4})x(\d{2,4})", value) if isinstance(value, str) else None
    if match is None:
        raise invalid(
            "size", f'size must be width x height, for example "1280x720", not {value!r}.'
        )
    width, height = int(match[1]), int(match[2])
    if not all(_SIDES[0] <= side <= _SIDES[1] for side in (width, height)):
        raise invalid(
            "size", f"size: both sides must be from {_SIDES[0]} to {_SIDES[1]} pixels, not {value}."
        )
    if even and (width % 2 or height % 2):
        raise invalid("size", f"size: a video's sides must be even, not {value}.")
    if even and width * height > _MOST_PIXELS:
        raise invalid(
            "size", f"size: {value} has too many pixels for a video; 1920x1080 is the most."
        )
    return width, height


def _metadata(value: Any) -> dict[str, Any] | None:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as problem:
            raise invalid("metadata", "metadata must be a JSON object.") from problem
    if value is not None and not isinstance(value, dict):
        raise invalid("metadata", "metadata must be a JSON object.")
    return value


def _reference(value: Any) -> bytes | None:
    """An image from a form's file, a data URL, or `{"image_url": data URL}`. Nothing is fetched."""
    if value is None or value == "":
        return None
    if isinstance(value, dict):
        value = value.get("image_url")
    if isinstance(value, str):
        match = re.match(r"data:image/[\w.+-]+;base64,", value)
        if match is None:
            raise invalid(
                "input_reference",
                "input_reference must be an image file or a data: URL of one; the studio fetches nothing.",
            )
        try:
            value = base64.b64decode(value[match.end() :], validate=True)
        except binascii.Error as problem:
            raise invalid("input_reference", "input_reference is not valid base64.") from problem
    if not isinstance(value, bytes):
        raise invalid(
            "input_reference", "input_reference must be an image file or a data: URL of one."
        )
    _check_image(value)
    return value


def _check_image(content: bytes) -> None:
    try:
        with warnings.catch_warnings():
            # Pillow's warning of very large pictures is answered below, as a refusal.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=("PNG", "JPEG", "WEBP", "GIF")) as picture:
                pixels = picture.width * picture.height
                if pixels <= _MOST_REFERENCE_PIXELS:
                    picture.verify()
    except (
        UnidentifiedImageError,
        OSError,
        ValueError,
        SyntaxError,
        Image.DecompressionBombError,
    ) as problem:
        raise invalid(
            "input_reference",
            "input_reference is not a PNG, JPEG, WebP or GIF picture that can be read.",
        ) from problem
    if pixels > _MOST_REFERENCE_PIXELS:
        raise invalid(
            "input_reference", "input_reference has more than 50 million pixels.", "too_large"
        )

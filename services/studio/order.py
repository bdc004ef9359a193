"""What a renderer is asked for: one line of JSON on its standard input."""

import json
from dataclasses import asdict, dataclass
from typing import Literal

FPS = 24


@dataclass(frozen=True, slots=True)
class Order:
    """One video or picture to make. Paths are absolute; sizes in pixels, both even for a video.

    `at_least_seconds` is the least wall time the rendering takes, spread over its frames (a test's wish).
    `variant` tells the pictures of one request apart.
    """

    kind: Literal["video", "image"]
    prompt: str
    width: int
    height: int
    output: str
    seconds: float = 0.0
    thumbnail: str | None = None
    reference: str | None = None
    at_least_seconds: float = 0.0
    variant: int = 0

    @property
    def frames(self) -> int:
        """How many frames the video has, or 1."""
        return max(1, round(self.seconds * FPS)) if self.kind == "video" else 1

    def to_line(self) -> bytes:
        """As the renderer reads it."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> "Order":
        """The reverse of `to_line`."""
        return cls(**json.loads(line))

"""Films, opened by FFmpeg's libraries through PyAV."""

from typing import Final

import av
from av.video.frame import VideoFrame
from PIL import Image

from services.storage.thumbnailer.asking import AskedFile, RefusedError
from services.storage.thumbnailer.pictures import webp_of
from services.storage.thumbnailer.protocol import (
    LONGEST_SIDE,
    MOST_FILM_MS,
    MOST_FILM_PIXELS,
    NOT_DECODABLE,
    TOO_LONG,
    TOO_MANY_PIXELS,
    Thumbnail,
)

# The demuxer is named, so that no bytes choose one that opens other files (playlists, concat, image sequences).
_DEMUXERS: Final = {"video/mp4": "mov", "video/quicktime": "mov", "video/webm": "matroska"}
_DECODERS: Final = "h264,hevc,vp8,vp9,libdav1d,av1,mpeg4,prores,mjpeg"
_CONTAINER: Final = {
    # No file is named by another, no protocol is known, whatever a build's defaults are.
    "enable_drefs": "0",
    "protocol_whitelist": "none",
    "codec_whitelist": _DECODERS,
    "max_streams": "32",
    "probesize": str(2 * 1024 * 1024),
    "analyzeduration": "2000000",
}
# Held by every decoder, also while the container is being probed.
_CODEC: Final = {"max_pixels": str(MOST_FILM_PIXELS), "threads": "1"}


def draw_film(file: AskedFile, content_type: str) -> Thumbnail:
    """The thumbnail of a film: its first frame. Raises RefusedError, and whatever PyAV does."""
    name = _DEMUXERS[content_type]
    options = dict(_CONTAINER)
    if name != "mov":
        del options["enable_drefs"]
    with av.open(
        file, mode="r", format=name, options=_CODEC, container_options=options
    ) as container:
        if not container.streams.video:
            raise RefusedError(NOT_DECODABLE)
        stream = container.streams.video[0]
        context = stream.codec_context
        if context.width * context.height > MOST_FILM_PIXELS:
            raise RefusedError(TOO_MANY_PIXELS)
        lengths = [(container.duration or 0) / av.time_base]
        if stream.duration and stream.time_base:
            lengths.append(float(stream.duration * stream.time_base))
        duration_ms = round(max(lengths) * 1000)
        if duration_ms > MOST_FILM_MS:
            raise RefusedError(TOO_LONG)
        context.thread_count = 1
        context.options = dict(_CODEC)
        frame = next(container.decode(stream), None)
        if frame is None:
            raise RefusedError(NOT_DECODABLE)
        aspect = float(stream.sample_aspect_ratio or 1)
        return _pictured(frame, aspect, max(0, duration_ms))


def _pictured(frame: VideoFrame, aspect: float, duration_ms: int) -> Thumbnail:
    """The frame as it is shown: its pixels may be oblong, and the whole may lie on its side."""
    width, height = frame.width, frame.height
    if 1 / 8 < aspect < 8:
        width = max(1, round(width * aspect))
    scale = min(1.0, LONGEST_SIDE / max(width, height))
    small: Image.Image = frame.to_image(  # type: ignore[no-untyped-call]
        width=max(1, round(width * scale)),
        height=max(1, round(height * scale)),
        interpolation="AREA",
    )
    turn = round(frame.rotation) % 360
    if turn in {90, 180, 270}:
        turned = {
            90: Image.Transpose.ROTATE_90,
            180: Image.Transpose.ROTATE_180,
            270: Image.Transpose.ROTATE_270,
        }[turn]
        small = small.transpose(turned)
    if turn in {90, 270}:
        width, height = height, width
    return Thumbnail(width, height, duration_ms, webp_of(small))

"""The renderer, a process for each order: `python -m services.studio.render`.

Reads the order from standard input, writes `{"frames": n}` lines to standard output as frames are encoded,
and lives no longer than who started it: the end of its input ends it, whatever happened on the other side.
"""

import json
import os
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path

import av
from PIL import Image, ImageOps

from services.studio.canvas import Canvas
from services.studio.caption import Caption
from services.studio.order import FPS, Order
from services.studio.scenes import Scene, scene_for

_NICENESS = 10
_THUMBNAIL_SIDE = 480
# One thread and fixed settings: the same order always gives the same bytes.
_X264 = {
    "preset": "veryfast",
    "crf": "21",
    "threads": "1",
    "g": str(FPS * 2),
    "x264-params": "bframes=0:rc-lookahead=8",
}


def main() -> None:
    """Renders the one order that is on standard input."""
    os.nice(_NICENESS)
    order = Order.from_line(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_owner, daemon=True).start()
    if order.kind == "video":
        _render_video(order)
    else:
        _render_image(order)


def _end_with_owner() -> None:
    """The owner keeps the other end of this pipe open for as long as it lives and wants the result."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os._exit(1)


def _report(frames: int) -> None:
    sys.stdout.write(json.dumps({"frames": frames}) + "\n")
    sys.stdout.flush()


def _scene(order: Order) -> Scene:
    reference = None
    if order.reference:
        with Image.open(order.reference) as opened:
            reference = ImageOps.exif_transpose(opened).convert("RGB")
    return scene_for(
        order.prompt,
        order.width,
        order.height,
        order.seconds,
        reference=reference,
        variant=order.variant,
    )


def _render_video(order: Order) -> None:
    started = time.monotonic()
    scene, caption = _scene(order), Caption(order.prompt, order.width, order.height)
    part = Path(f"{order.output}.part")
    with av.open(str(part), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=FPS, options=_X264)
        stream.width, stream.height, stream.pix_fmt = order.width, order.height, "yuv420p"
        stream.time_base = Fraction(1, FPS)
        context = stream.codec_context
        context.color_range, context.colorspace, context.color_primaries, context.color_trc = (
            1,
            1,
            1,
            1,
        )
        frame = av.VideoFrame(order.width, order.height, "yuv420p")
        canvas = Canvas(order.width, order.height, [plane.line_size for plane in frame.planes])
        for index in range(order.frames):
            scene.draw(canvas, index / FPS)
            canvas.paste(caption.sprite, 0, caption.top)
            if order.thumbnail and index == order.frames // 3:
                _save_thumbnail(canvas.picture(), Path(order.thumbnail))
            frame = av.VideoFrame(order.width, order.height, "yuv420p")
            for plane, picture in zip(frame.planes, (canvas.luma, *canvas.chromas), strict=True):
                plane.update(picture.tobytes())
            frame.pts = index
            container.mux(stream.encode(frame))
            _report(index + 1)
            _linger(order, started, (index + 1) / order.frames)
        container.mux(stream.encode())
    part.replace(order.output)


def _render_image(order: Order) -> None:
    started = time.monotonic()
    width, height = (side + side % 2 for side in (order.width, order.height))
    canvas, caption = Canvas(width, height), Caption(order.prompt, width, height)
    _scene(order).draw(canvas, 1.5)
    canvas.paste(caption.sprite, 0, caption.top)
    part = Path(f"{order.output}.part")
    canvas.picture().crop((0, 0, order.width, order.height)).save(part, "PNG", compress_level=4)
    _linger(order, started, 1.0)
    part.replace(order.output)
    _report(1)


def _save_thumbnail(picture: Image.Image, path: Path) -> None:
    picture.thumbnail((_THUMBNAIL_SIDE, _THUMBNAIL_SIDE))
    part = path.with_name(path.name + ".part")
    picture.save(part, "WEBP", quality=82, method=2)
    part.replace(path)


def _linger(order: Order, started: float, share: float) -> None:
    """Waits until `share` of the least wall time has passed."""
    time.sleep(max(0.0, started + order.at_least_seconds * share - time.monotonic()))


if __name__ == "__main__":
    main()

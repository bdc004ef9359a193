"""Real media files, made here: sound ones of every kind that is kept, and hostile ones."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, cast

import av
from PIL import Image

RED, BLUE = (200, 30, 30), (30, 30, 200)


def two_colours(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """Red above, blue below."""
    picture = Image.new("RGB", (width, height), RED)
    picture.paste(BLUE, (0, height // 2, width, height))
    return picture.convert(mode)


def picture(
    kind: str, width: int = 1200, height: int = 800, mode: str = "RGB", **how: Any
) -> bytes:
    """A picture file; `kind` is Pillow's name of the format."""
    return saved(two_colours(width, height, mode), kind, **how)


def saved(image: Image.Image, kind: str, **how: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **how)
    return out.getvalue()


def animated(kind: str) -> bytes:
    """Its first picture is red above and blue below, its second all blue."""
    second = Image.new("RGB", (300, 200), BLUE)
    how: dict[str, Any] = {"save_all": True, "append_images": [second], "duration": 200}
    return saved(two_colours(300, 200), kind, **how)


def lying_jpeg() -> bytes:
    """800 by 1200 when it is shown; stored on its side."""
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it a quarter to the right
    return saved(two_colours(800, 1200).transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif)


def deep_png() -> bytes:
    """16 bits of grey: bright above, dark below."""
    half = 100 * 50
    pixels = struct.pack("<H", 60_000) * half + struct.pack("<H", 5_000) * half
    return saved(Image.frombytes("I;16", (100, 100), pixels), "PNG")


def film(
    container: str = "mp4",
    codec: str = "libx264",
    width: int = 640,
    height: int = 360,
    frames: int = 24,
    **options: str,
) -> bytes:
    """A second of red above blue, at 24 frames a second. An MP4's index lies at its end."""
    # In a file: to put the index in front, it is opened a second time.
    with (
        NamedTemporaryFile(suffix=f".{container}") as out,
        av.open(out.name, "w", format=container, options=options) as writing,
    ):
        stream: Any = writing.add_stream(codec, rate=24)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        frame = cast("Any", av.VideoFrame).from_image(two_colours(width, height))
        for _ in range(frames):
            writing.mux(stream.encode(frame))
        writing.mux(stream.encode(None))
        writing.close()
        return Path(out.name).read_bytes()


def png_of_size(width: int, height: int) -> bytes:
    """A PNG whose header claims this size, with hardly any bytes behind it."""
    header = struct.pack("!IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return _png(_chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(bytes(1000))))


def png_with_text_bomb(unpacked_bytes: int) -> bytes:
    """A small picture with a comment that unpacks to this much."""
    whole = saved(two_colours(32, 32), "PNG")
    text = b"Comment\0\0" + zlib.compress(bytes(unpacked_bytes), 9)
    return whole[:33] + _chunk(b"zTXt", text) + whole[33:]


def _png(*chunks: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + _chunk(b"IEND", b"")


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack("!I", len(data)) + name + data + struct.pack("!I", zlib.crc32(name + data))


def with_length(mp4: bytes, hours: int) -> bytes:
    """The same film of 24 frames, said to play for so many hours (97 at most)."""
    ticks = hours * 3600 * 12_288

    def longer(box: bytes) -> bytes:
        return box[:16] + struct.pack("!I", ticks) + box[20:]

    def slower(box: bytes) -> bytes:
        return box[:12] + struct.pack("!I", ticks // 24)

    # Without its edit list, which says that only a second of it is to be played.
    media = ["moov", "trak", "mdia"]
    said = with_box(mp4.replace(b"edts", b"free"), [*media, "mdhd"], longer)
    return with_box(said, [*media, "minf", "stbl", "stts"], slower)


def with_vp8_pixels(webm: bytes, side: int) -> bytes:
    """The same film, whose first frame claims to be a square of this side; the file's own header does not."""
    at = webm.index(b"\x9d\x01\x2a") + 3
    return webm[:at] + struct.pack("<HH", side, side) + webm[at + 4 :]


def with_external_data(mov: bytes, path: str) -> bytes:
    """The same film, whose frames are said to lie in another file (a QuickTime alias)."""
    where = path.encode()
    where += b"\0" * (len(where) % 2)
    alias = bytes(10) + b"\0" + bytes(27) + bytes(12) + b"\x06canary" + bytes(57) + bytes(16)
    alias += struct.pack("!HH", 1, 1) + bytes(16)
    alias += struct.pack("!HH", 2, len(where)) + where + struct.pack("!HH", 0xFFFF, 0)
    entry = struct.pack("!I4sI", 12 + len(alias), b"alis", 0) + alias

    def elsewhere(box: bytes) -> bytes:
        return box[:4] + struct.pack("!I", 1) + entry

    return with_box(mov, ["moov", "trak", "mdia", "minf", "dinf", "dref"], elsewhere)


def with_box(data: bytes, path: list[str], change: Callable[[bytes], bytes]) -> bytes:
    """An ISO file of which the payload of one box was changed."""
    out, at = b"", 0
    while at + 8 <= len(data):
        size, name = struct.unpack_from("!I4s", data, at)
        payload = data[at + 8 : at + size]
        if name.decode("latin-1") == path[0]:
            payload = with_box(payload, path[1:], change) if path[1:] else change(payload)
        out += struct.pack("!I4s", len(payload) + 8, name) + payload
        at += size
    return out

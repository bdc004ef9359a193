"""E5: what bytes are is seen in them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.storage.sniff import sniff

WEBM = b"\x1a\x45\xdf\xa3\x9fB\x86\x81\x01B\xf7\x81\x01B\x82\x84webm"


@pytest.mark.parametrize(
    ("head", "content_type"),
    [
        (b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00", "video/mp4"),
        (b"\x00\x00\x00\x20ftypmp42", "video/mp4"),
        (b"\x00\x00\x00\x14ftypqt  ", "video/quicktime"),
        (b"\x00\x00\x00\x08wide\x00\x00", "video/quicktime"),
        (WEBM, "video/webm"),
        (b"\x89PNG\r\n\x1a\n\x00", "image/png"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "image/jpeg"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", None),
        (WEBM.replace(b"webm", b"matr"), None),
        (b"\x00\x00\x00\x18ftypheic", None),
        (b"<!doctype html>", None),
        (b"<svg onload=alert(1)>", None),
        (b'{"error": "expired"}', None),
        (b"", None),
    ],
)
def test_e5_kinds_are_told_by_their_first_bytes(head: bytes, content_type: str | None) -> None:
    kind = sniff(head)
    assert (kind and kind.content_type) == content_type


@given(st.binary(max_size=64))
def test_no_bytes_confuse_it(head: bytes) -> None:
    kind = sniff(head)
    assert kind is None or kind.content_type.startswith(("video/", "image/"))

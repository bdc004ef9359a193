"""Ranges, in every form that RFC 9110 has for one."""

import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st

from services.frontend_bff import ranges
from services.frontend_bff.clients.downloads import Span
from services.kernel.errors import OutOfRange


def _requested(value: str, *, method: str = "GET", **headers: str) -> Span | None:
    sent = {"Range": value} | {name.replace("_", "-"): text for name, text in headers.items()}
    return ranges.requested(make_mocked_request(method, "/", headers=sent), '"etag"')


@pytest.mark.parametrize(
    ("header", "span"),
    [
        ("bytes=0-0", Span(0, 1)),
        ("bytes=5-", Span(5)),
        ("bytes=-5", Span(-5)),
        ("BYTES=1-2", Span(1, 2)),
        ("bytes=2-1", None),
        ("bytes=1-2,4-5", None),
        ("bytes=", None),
        ("bytes=--1", None),
        ("chapters=1-2", None),
        ("bytes=١-٢", None),
    ],
)
def test_a_header_means_one_range_or_the_whole(header: str, span: Span | None) -> None:
    assert _requested(header) == span


def test_a_range_of_a_head_or_of_another_version_is_ignored() -> None:
    assert _requested("bytes=0-1", method="HEAD") is None
    assert _requested("bytes=0-1", If_Range='"other"') is None
    assert _requested("bytes=0-1", If_Range='"etag"') == Span(0, 2)


def test_the_last_no_bytes_are_no_range() -> None:
    with pytest.raises(OutOfRange):
        _requested("bytes=-0")


@given(
    size=st.integers(0, 1000),
    offset=st.integers(-1500, 1500),
    length=st.integers(0, 2000),
)
def test_a_range_resolves_to_what_slicing_gives(size: int, offset: int, length: int) -> None:
    data = bytes(size)
    start = max(0, size + offset) if offset < 0 else offset
    expected = data[start : start + length] if length else data[start:]
    if start >= size:
        with pytest.raises(OutOfRange) as refusal:
            ranges.resolve(Span(offset, length), size)
        assert refusal.value.metadata == {"size": str(size)}
        return
    part = ranges.resolve(Span(offset, length), size)

    assert (part.offset, part.length) == (start, len(expected))
    assert part.content_range(size) == f"bytes {start}-{start + len(expected) - 1}/{size}"

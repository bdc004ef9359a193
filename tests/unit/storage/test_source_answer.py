"""E4: only an answer that brings the rest of the very same body continues a download that broke."""

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from services.kernel.errors import Aborted
from services.storage.sources.answer import Promise, continues, promise
from services.storage.sources.download import Pace, Patience

LATE = "Sun, 01 Nov 2026 00:02:00 GMT"
EARLY = "Sun, 01 Nov 2026 00:00:00 GMT"


def headers(*pairs: tuple[str, str], **named: str) -> CIMultiDictProxy[str]:
    """Underscores in names stand for dashes."""
    found = [(name.replace("_", "-"), value) for name, value in named.items()]
    return CIMultiDictProxy(CIMultiDict([*pairs, *found]))


@pytest.mark.parametrize(
    ("named", "validator"),
    [
        ({"ETag": '"abc"'}, '"abc"'),
        ({"ETag": 'W/"abc"'}, ""),
        ({"ETag": 'W/"abc"', "Last_Modified": EARLY, "Date": LATE}, ""),
        ({"ETag": "abc"}, ""),
        ({"ETag": '"a", "b"'}, ""),
        ({"ETag": '"abc"', "Last_Modified": EARLY, "Date": LATE}, '"abc"'),
        ({"Last_Modified": EARLY, "Date": LATE}, EARLY),
        ({"Last_Modified": EARLY, "Date": EARLY}, ""),
        ({"Last_Modified": EARLY}, ""),
        ({"Last_Modified": "yesterday", "Date": LATE}, ""),
        ({"Last_Modified": "yesterday"}, ""),
        ({}, ""),
    ],
)
def test_e4_only_what_names_one_version_allows_a_resume(
    named: dict[str, str], validator: str
) -> None:
    assert promise(200, headers(Content_Length="10", **named)) == Promise(10, validator)


def test_e4_a_body_without_a_length_is_not_resumed() -> None:
    found = promise(200, headers(Transfer_Encoding="chunked", ETag='"abc"'))
    assert found == Promise(0, "")


@pytest.mark.parametrize("status", [204, 206, 304, 404, 500])
def test_e5_only_a_whole_body_is_taken(status: int) -> None:
    with pytest.raises(Aborted, match=str(status)):
        promise(status, headers(Content_Length="10"))


GOOD = {"Content_Range": "bytes 4-9/10", "Content_Length": "6", "ETag": '"abc"'}


@pytest.mark.parametrize(
    ("status", "changed", "good"),
    [
        (206, {}, True),
        (206, {"ETag": ""}, False),  # of which version it is, nobody knows
        (206, {"Content_Length": "", "Transfer_Encoding": "chunked"}, True),
        (200, {}, False),
        (416, {}, False),
        (206, {"ETag": '"abd"'}, False),
        (206, {"ETag": 'W/"abc"'}, False),
        (206, {"Content_Range": ""}, False),
        (206, {"Content_Range": "bytes 3-9/10"}, False),
        (206, {"Content_Range": "bytes 5-9/10"}, False),
        (206, {"Content_Range": "bytes 4-8/10"}, False),
        (206, {"Content_Range": "bytes 4-9/11"}, False),
        (206, {"Content_Range": "bytes 4-10/11"}, False),
        (206, {"Content_Range": "bytes 4-9/*"}, False),
        (206, {"Content_Range": "items 4-9/10"}, False),
        (206, {"Content_Length": "7"}, False),
        (206, {"Content_Length": ""}, False),
        (206, {"Content_Encoding": "gzip"}, False),
    ],
)
def test_e4_what_continues_a_body(status: int, changed: dict[str, str], good: bool) -> None:
    named = {name: value for name, value in (GOOD | changed).items() if value}
    assert continues(Promise(10, '"abc"'), 4, status, headers(**named)) is good


def test_e4_two_ranges_continue_nothing() -> None:
    twice = headers(("Content-Range", "bytes 4-9/10"), **GOOD)
    assert not continues(Promise(10, '"abc"'), 4, 206, twice)


def test_e5_a_slow_source_is_given_up_by_the_time_it_was_waited_for() -> None:
    pace = Pace(Patience(30, 3600, min_bytes_per_second=100, window_seconds=10))
    for _ in range(1000):
        pace.count(0.0, 0)  # not waited for: our own pauses say nothing
    for _ in range(50):
        pace.count(1.0, 100)  # just fast enough
    for _ in range(9):
        pace.count(1.0, 99)
    with pytest.raises(Aborted, match="too slow") as caught:
        pace.count(1.0, 99)
    assert caught.value.metadata["kind"] == "slow"


def test_a_source_may_be_as_slow_as_it_likes_where_the_least_is_zero() -> None:
    pace = Pace(Patience(30, 3600, min_bytes_per_second=0, window_seconds=1))
    for _ in range(10):
        pace.count(100.0, 1)

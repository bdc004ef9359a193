"""E8: what an upstream says of its bytes does not break out of the headers that we send."""

from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from services.frontend_bff.routes.media import _headers

HOSTILE = st.text() | st.lists(
    st.sampled_from(
        ["\r", "\n", "\r\nX: y", '"', ";", "\0", "video/mp4", "image/svg+xml", "text/html"]
    )
).map("".join)


@given(HOSTILE, st.booleans())
def test_no_content_type_breaks_out_of_a_header(content_type: str, saved: bool) -> None:
    for name, value in _headers(str(uuid4()), content_type, saved=saved).items():
        assert name.isascii()
        assert value.isascii()
        assert value.isprintable()
    headers = _headers(str(uuid4()), content_type, saved=saved)
    assert headers["Content-Type"].split("/")[0] in {"video", "image", "audio", "application"}
    assert headers["Content-Disposition"].count('"') == 2
    assert "html" not in headers["Content-Type"]
    assert "svg" not in headers["Content-Type"]

"""D5, E7: links are signed once an hour, and nothing that comes from outside breaks out of a header or an address."""

from datetime import UTC, datetime, timedelta
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.credentials import ReadOnlyCredentials
from hypothesis import given
from hypothesis import strategies as st

from services.storage.objects import Link
from services.storage.s3 import links, presign
from services.storage.s3.links import ReaderLinks
from services.storage.s3.presign import Presigner, disposition
from services.storage.s3.target import Delivery, S3Target

KEYS = ReadOnlyCredentials("id", "secret", None)
ROTATED = ReadOnlyCredentials("id", "secret", "token")


class Clock(datetime):
    """A clock that is set."""

    at: ClassVar[datetime] = datetime(2026, 3, 4, 10, 0, 0, tzinfo=UTC)

    @classmethod
    def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
        return cls.at


class Counting:
    """A signer that is watched."""

    def __init__(self, target: S3Target) -> None:
        self._presigner = Presigner(target, target.link_endpoint)
        self.signed = 0

    def reader_link(self, key: str, keys: ReadOnlyCredentials, name: str = "") -> Link:
        self.signed += 1
        return self._presigner.reader_link(key, keys, name)


def target(**other: object) -> S3Target:
    values: dict[str, object] = {
        "endpoint": "http://127.0.0.1:9000",
        "public_endpoint": "https://media.example.com",
        "region": "auto",
        "bucket": "works",
        "access_key_id": "id",
        "secret_access_key": "secret",
        "prefix": "p/",
        "path_style": True,
        "cdn_url": "",
    }
    return S3Target(**{**values, **other})  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> type[Clock]:
    for module in (links, presign):
        monkeypatch.setattr(module, "datetime", Clock)
    Clock.at = datetime(2026, 3, 4, 10, 0, 7, tzinfo=UTC)
    return Clock


def test_d5_a_link_is_signed_once_an_hour() -> None:
    signer = Counting(target())
    known = ReaderLinks(signer)  # type: ignore[arg-type]
    first = known.link("p/a.mp4", KEYS, "")
    for minutes in (1, 59):
        Clock.at = datetime(2026, 3, 4, 10, minutes, tzinfo=UTC)
        assert known.link("p/a.mp4", KEYS, "") == first
    assert signer.signed == 1
    Clock.at += timedelta(minutes=1)
    later = known.link("p/a.mp4", KEYS, "")
    assert later != first
    assert signer.signed == 2
    assert first.expires_at is not None
    assert later.expires_at == first.expires_at + timedelta(hours=1)


def test_d5_each_key_name_and_credentials_have_links_of_their_own() -> None:
    known = ReaderLinks(Presigner(target(), target().link_endpoint))
    found = {
        known.link(key, keys, name).url
        for key in ("p/a.mp4", "p/b.mp4")
        for keys in (KEYS, ROTATED)
        for name in ("", "a.mp4", "b.mp4")
    }
    assert len(found) == 12


def test_the_least_used_links_are_forgotten() -> None:
    signer = Counting(target())
    known = ReaderLinks(signer, most=3)  # type: ignore[arg-type]
    for key in ("a", "b", "c", "a", "d", "a"):
        known.link(key, KEYS, "")
    assert signer.signed == 4
    known.link("b", KEYS, "")
    assert signer.signed == 5


def test_e7_the_cdn_comes_first_but_for_downloads() -> None:
    known = ReaderLinks(
        Presigner(target(cdn_url="https://cdn.example.com"), "https://media.example.com")
    )
    assert known.link("p/ä b.mp4", KEYS, "") == Link(
        "https://cdn.example.com/p/%C3%A4%20b.mp4", None
    )
    saved = known.link("p/a.mp4", KEYS, "a.mp4")
    assert saved.url.startswith("https://media.example.com/works/p/a.mp4?")
    proxy = Presigner(target(delivery=Delivery.PROXY), "https://media.example.com")
    assert ReaderLinks(proxy).link("p/a.mp4", KEYS, "") == Link("", None)


HOSTILE = st.text() | st.lists(
    st.sampled_from(
        ["\r", "\n", "\r\nX: y", '"', ";", "\0", "é", "\u2028", "%0d%0a", "a", "\ud800"]
    )
).map("".join)


@given(HOSTILE)
def test_no_name_breaks_out_of_the_content_disposition(name: str) -> None:
    header = disposition(name)
    assert header.isascii()
    assert header.isprintable()
    assert header.count('"') == 2
    assert header.count(";") - header.split('"')[1].count(";") == 2
    assert not set("/\\") & set(header)


@given(HOSTILE.filter(lambda text: not any(map(_is_surrogate, text))))
def test_no_key_or_name_breaks_out_of_an_address(text: str) -> None:
    for url in (
        Presigner(target(), "https://media.example.com").reader_link(f"p/{text}", KEYS, text).url,
        Presigner(target(cdn_url="https://cdn.example.com"), "").reader_link(f"p/{text}", KEYS).url,
        Presigner(target(), "https://media.example.com").request_url(
            "PUT", f"p/{text}", KEYS, query={"uploadId": text}
        ),
    ):
        assert url.isascii()
        assert url.isprintable()
        assert " " not in url
        parts = urlsplit(url)
        assert parts.hostname in {"media.example.com", "cdn.example.com"}
        assert not parts.fragment
        assert set(parse_qs(parts.query)) <= {
            "X-Amz-Algorithm",
            "X-Amz-Credential",
            "X-Amz-Date",
            "X-Amz-Expires",
            "X-Amz-SignedHeaders",
            "X-Amz-Signature",
            "response-content-disposition",
            "uploadId",
        }


def _is_surrogate(character: str) -> bool:
    return "\ud800" <= character <= "\udfff"

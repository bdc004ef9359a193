"""E7, D5: links."""

from datetime import UTC, datetime, timedelta
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.credentials import ReadOnlyCredentials

from services.storage.s3 import presign
from services.storage.s3.presign import Presigner, disposition
from services.storage.s3.target import S3Target

KEYS = ReadOnlyCredentials("id", "secret", None)


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


class Clock(datetime):
    """A clock that is set."""

    at: ClassVar[datetime] = datetime(2026, 3, 4, 10, 0, 0, tzinfo=UTC)

    @classmethod
    def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
        return cls.at


def test_d5_a_link_stays_the_same_within_the_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presign, "datetime", Clock)
    signer = Presigner(target(), "https://media.example.com")
    links = []
    for minutes in (0, 1, 59, 60):
        Clock.at = datetime(2026, 3, 4, 10, 0, 7, tzinfo=UTC) + timedelta(minutes=minutes)
        links.append(signer.link("p/a.mp4", KEYS, {}))
    assert links[0] == links[1] == links[2] != links[3]
    url, expires_at = links[0]
    query = parse_qs(urlsplit(url).query)
    assert query["X-Amz-Date"] == ["20260304T100000Z"]
    assert query["X-Amz-Expires"] == ["86400"]
    assert expires_at == datetime(2026, 3, 5, 10, 0, 0, tzinfo=UTC)


def test_e7_links_point_to_the_public_endpoint() -> None:
    assert target().link_endpoint == "https://media.example.com"
    assert target(public_endpoint="").link_endpoint == "http://127.0.0.1:9000"
    url, _ = Presigner(target(), target().link_endpoint).link("p/ä b.mp4", KEYS, {})
    assert url.startswith("https://media.example.com/works/p/%C3%A4%20b.mp4?")
    virtual = target(path_style=False)
    assert virtual.object_url(virtual.link_endpoint, "k") == "https://works.media.example.com/k"


@pytest.mark.parametrize(
    "name",
    ["a.mp4", 'x"; filename="y', "a\r\nSet-Cookie: x", "../../etc/passwd", "Кот.mp4", "€" * 500],
)
def test_e7_no_file_name_breaks_out_of_its_header(name: str) -> None:
    header = disposition(name)
    assert header.isascii()
    assert header.isprintable()
    assert header.count('"') == 2
    assert "/" not in header
    assert "\\" not in header

"""E13: what storage finds out about a work after it was kept is in the gateway's answers."""

from datetime import UTC, datetime
from uuid import uuid4

from reelgate.gateway.v1 import generation_pb2
from services.gateway.clients import Link
from services.gateway.generations import Generation, Media
from services.gateway.servers.convert import to_message
from services.gateway.service import View

NOW = datetime(2026, 11, 22, tzinfo=UTC)
GENERATION = Generation(
    id=uuid4(),
    user_id=uuid4(),
    api_key_id=None,
    run=0,
    rev=1,
    model="sora2-landscape-10s",
    prompt="a boat",
    media_type="video",
    orientation="landscape",
    duration_seconds=10,
    count=1,
    parameters={},
    input_urls=[],
    status="completed",
    stage="stored",
    progress_percent=100,
    storage_type="s3",
    size_bytes=5,
    error_code=None,
    error_message=None,
    notice_code=None,
    notice_message=None,
    credits=10,
    reserved_bytes=0,
    cached=False,
    created_at=NOW,
    updated_at=NOW,
    started_at=NOW,
    completed_at=NOW,
    expires_at=None,
    expired=False,
    deadline_at=NOW,
    overdue=False,
    unknown_since=None,
    deleted_at=None,
    crashes=0,
)


def medium(link: Link) -> generation_pb2.Media:
    kept = Media(0, uuid4(), uuid4(), "", None, "s3", "video/mp4", 5, 0, 0, None)
    return to_message(View(GENERATION, [(kept, link)])).media[0]


def test_e13_a_thumbnail_and_the_measures_come_with_the_link() -> None:
    shown = medium(Link("https://s3/a", "https://s3/a.webp", True, 1280, 720, 10.25))
    assert (shown.url, shown.thumbnail_url) == ("https://s3/a", "https://s3/a.webp")
    assert shown.has_thumbnail
    assert (shown.width, shown.height, shown.duration.ToMilliseconds()) == (1280, 720, 10_250)


def test_e13_before_it_is_made_there_is_none() -> None:
    shown = medium(Link("https://s3/a"))
    assert (shown.thumbnail_url, shown.has_thumbnail, shown.width) == ("", False, 0)
    assert not shown.HasField("duration")

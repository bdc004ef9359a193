"""E10: what a key says, and what a sweep makes of what the rows know of it."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.storage.keys import KeyName, object_id_of, read_key
from services.storage.local import listing as local_listing
from services.storage.objects import MediaKind, Run, Tier, input_slot, thumbnail_key, work_slot
from services.storage.store.sweeps import Known
from services.storage.sweeping.verdicts import Verdict, judge

UNKNOWN = Known("k", *(False, False, False), None, None, *(False, False, False, False, False))
WORK = KeyName("k", uuid4(), uuid4(), is_input=False, is_thumbnail=False)
THUMBNAIL = replace(WORK, is_thumbnail=True)

prefixes = st.sampled_from(["", "media/", "a/b.c/"])


@given(
    prefix=prefixes, extension=st.sampled_from(["mp4", "mov", "webm", "png", "jpg", "webp", "gif"])
)
def test_e10_the_key_of_every_slot_is_read_back(prefix: str, extension: str) -> None:
    made = datetime(2026, 1, 2, tzinfo=UTC)
    work = work_slot(uuid4(), Run(uuid4(), 0, 1), 0, MediaKind.ANY, made)
    image = input_slot(uuid4(), MediaKind.IMAGE)
    for slot, is_input in ((work, False), (image, True)):
        key = prefix + slot.key(extension)
        assert read_key(key, prefix) == KeyName(
            key, slot.id, slot.owner_id, is_input=is_input, is_thumbnail=False
        )
        beside = read_key(thumbnail_key(key), prefix)
        assert beside is not None
        assert (beside.id, beside.is_thumbnail) == (slot.id, True)
        assert object_id_of(key) == slot.id


@given(prefix=prefixes, key=st.text(max_size=150))
def test_e10_nothing_else_is_taken_for_ours(prefix: str, key: str) -> None:
    assert read_key(prefix + key, prefix) is None


def test_e10_a_key_below_another_prefix_is_not_ours() -> None:
    key = input_slot(uuid4(), MediaKind.IMAGE).key("png")
    assert read_key(f"media/{key}", "") is None
    assert read_key(key, "media/") is None
    assert read_key(f"{key}\n", "") is None


@pytest.mark.parametrize("name", [WORK, THUMBNAIL])
def test_e10_only_a_trace_or_a_lonely_thumbnail_makes_an_orphan(name: KeyName) -> None:
    """All that can be known of a key: nothing that lives, moves or is busy is ever garbage."""
    for live, has, elsewhere, busy, going, traced in product((False, True), repeat=6):
        if (live and (not has or elsewhere)) or (elsewhere and not has):
            continue
        known = replace(
            UNKNOWN,
            is_live=live,
            has_object=has,
            other_tier=(Tier.LOCAL if elsewhere else Tier.S3) if has and not live else None,
            is_busy=busy,
            is_going=going,
            is_traced=traced,
        )
        verdict = judge(Tier.S3, name, known)
        if live:
            assert verdict is Verdict.LIVE
        elif busy or going:
            assert verdict is Verdict.BUSY
        elif name.is_thumbnail:
            gone = not has or (elsewhere and traced)
            assert verdict is (Verdict.ORPHAN if gone else Verdict.LIVE)
        elif traced:
            assert verdict is Verdict.ORPHAN
        else:
            assert verdict is (Verdict.LOST if has else Verdict.ADOPT)


def test_the_disk_is_listed_as_a_bucket_is(tmp_path: Path) -> None:
    """Byte order of whole keys, not of names in their folders; our own files left out; pages of 1,000."""
    names = [
        "a/x",
        "a-b/x",
        "a.b",
        "a/b/c",
        "b",
        "ä/ö",
        "Z/z",
        *(f"many/{n:04}" for n in range(1500)),
    ]
    for name in (*names, ".unfinished/one", ".spool/two", ".reelgate-volume"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"123")
    (tmp_path / "a" / "link").symlink_to(tmp_path / "b")
    pages = list(local_listing.keys(tmp_path))
    assert [len(page) for page in pages] == [1000, 508]
    found = [one.key for page in pages for one in page]
    assert found == sorted([*names, "a/link"], key=str.encode)
    assert pages[0][0].size_bytes == 3
    [left] = local_listing.pieces(tmp_path, (".unfinished", ".spool", ".nothing"))
    assert [one.key for one in left] == [".unfinished/one", ".spool/two"]

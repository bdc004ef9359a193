"""E8: no key leads out of the local directory."""

from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.kernel.ids import new_id
from services.storage.blobs_local import LocalBlobs
from services.storage.ports import Place, TierFailed

HOSTILE = st.one_of(
    st.text(max_size=80),
    st.lists(
        st.sampled_from(
            ["..", ".", "/", "\\", "a", "~", "\0", "%2e", "x.mp4", ".reelgate-volume", "\n"]
        ),
        max_size=12,
    ).map("".join),
    st.lists(st.sampled_from(["..", "a", "..", "b.mp4", "", "."]), max_size=8).map("/".join),
)


@settings(
    max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(HOSTILE)
async def test_e8_hostile_keys_are_refused(tmp_path: Path, key: str) -> None:
    blobs = LocalBlobs(tmp_path / "root", min_free_bytes=0)
    try:
        path = blobs._path(key)
    except TierFailed as refusal:
        assert refusal.trouble == "refused"
    else:
        assert path.resolve().is_relative_to((tmp_path / "root").resolve())
        assert ".." not in path.parts
        assert not any(part.startswith(".") for part in Path(key).parts)


@pytest.mark.parametrize(
    "key", ["../x.mp4", "/etc/passwd", "a/../../x.mp4", ".unfinished/x.mp4", "a.mp4"]
)
async def test_e8_every_way_in_refuses_them(tmp_path: Path, key: str) -> None:
    blobs = LocalBlobs(tmp_path / "root", min_free_bytes=0)
    await blobs.use_volume(new_id(), mark=True)
    with pytest.raises(TierFailed):
        await blobs.create(Place(key, "video/mp4", uuid4(), whole=True, again=False))
    with pytest.raises(TierFailed):
        await blobs.remove(key, unfinished=True)
    with pytest.raises(TierFailed):
        async with blobs.read(key, 0, 1):
            pass

"""E8: no key leads out of the local directory, whatever it is made of and whatever is planted inside."""

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from unittest.mock import patch
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.storage.local import files as local_files
from services.storage.local.blobs import LocalBlobs, names_of
from services.storage.ports import Part, Place, TierFailed
from tests.faults.campaign import FULL

GOOD = "0190f0a1-0000-7000-8000-000000000001/2026/01/02/0190f0a1-0000-7000-8000-000000000002.mp4"
CLASSIC = (
    "../x.mp4", "../../../../../../etc/passwd", "/etc/passwd", "//etc/passwd", "a/../../x.mp4", "a/./x.mp4",
    "a//x.mp4", "./x.mp4", "..", ".", "", "/", "a.mp4", "a/", "a/..", "a/x.mp4/", "a/x.mp4/..", "~/x.mp4",
    "~root/x.mp4", "a/..%2f..%2fx.mp4", "%2e%2e/x.mp4", "a/%2e%2e/x.mp4", "..%c0%af/x.mp4", "a/..\\..\\x.mp4",
    "..\\x.mp4", "C:\\x.mp4", "C:/x.mp4", "\\\\server\\share\\x.mp4", "a/x.mp4\0.png", "a\0/x.mp4", "\0",
    "a/x.mp4\n", "a/x.mp4\r\nX: y", "a\n/x.mp4", "a/CON", "a/con.mp4 ", "a/NUL.", "a/x.mp4::$DATA",
    "a/aux.mp4:stream", "a/x .mp4", " a/x.mp4", "a /x.mp4", "a/x.mp4.", "a/．．/x.mp4", "a/‥/x.mp4",
    "a/\u202e4pm.x", "a/x́.mp4", "ａ/x.mp4", "a/x.мp4", "\ufeffa/x.mp4", "a/\ud800.mp4", ".reelgate-volume",
    ".unfinished/x.mp4", ".spool/x.mp4", "a/.x.mp4", "a/-x.mp4", "-rf/x.mp4", "_a/x.mp4", "a/_x.mp4", "a/x",
    "a/x.", "a/.mp4", "a/x.MP4", "a/x.tar.gz", "a/x.thumb.thumb.webp", "a/" + "x" * 101 + ".mp4",
    "a" * 101 + "/x.mp4", "a/" * 13 + "x.mp4", "a/" * 5000 + "x.mp4", "a/" + "x" * 100_000, "a/a/a/../x.mp4",
    "$(id)/x.mp4", "`id`/x.mp4", "a/x;rm.mp4", "a/*.mp4", "a/x?.mp4", "a/x#.mp4", "a/x mp4",
    "file:///etc/passwd", "http://127.0.0.1/x.mp4", "proc/self/root/../../x.mp4",
)  # fmt: skip
PIECES = (
    "..", ".", "/", "//", "\\", "a", "b", "~", "\0", "%2e", "%2f", "x.mp4", ".reelgate-volume", "\n", "\r\n",
    " ", "-", "_", "．", "CON", ".unfinished", "etc", "passwd", "0190f0a1-0000-7000-8000-000000000001", ".thumb",
    ".webp", "input", "…", ":",
)  # fmt: skip
HOSTILE = st.one_of(
    st.text(max_size=40),
    st.sampled_from(CLASSIC),
    st.lists(st.sampled_from(PIECES), max_size=12).map("".join),
    st.lists(st.sampled_from(PIECES), max_size=8).map("/".join),
    # A good key with something put into it.
    st.tuples(st.sampled_from(PIECES), st.integers(0, len(GOOD))).map(
        lambda put: GOOD[: put[1]] + put[0] + GOOD[put[1] :]
    ),
    st.tuples(st.characters(), st.integers(0, len(GOOD) - 1)).map(
        lambda put: GOOD[: put[1]] + put[0] + GOOD[put[1] + 1 :]
    ),
)
KEYS_AT_ONCE = 50
HOW_MANY = 100_000 if FULL else 3_000


class Touched:
    """Every path that the process names to the system while it is watched."""

    _EVENTS = frozenset(
        {"open", "os.mkdir", "os.rename", "os.remove", "os.listdir", "os.scandir", "os.link", "os.symlink"}
    )  # fmt: skip

    def __init__(self) -> None:
        self.paths: set[str] = set()
        self._watching = False
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if self._watching and event in self._EVENTS:
            named = arguments[:2] if event == "os.rename" else arguments[:1]
            self.paths.update(str(path) for path in named if isinstance(path, str | bytes | Path))

    @contextmanager
    def watched(self) -> Iterator[None]:
        self._watching = True
        try:
            yield
        finally:
            self._watching = False


TOUCHED = Touched()


async def volume(root: Path) -> LocalBlobs:
    blobs = LocalBlobs(root, min_free_bytes=0)
    blobs.volume = await blobs.name_volume()
    return blobs


def place(key: str) -> Place:
    return Place(key, "video/mp4", uuid4(), whole=True, again=False)


async def use(blobs: LocalBlobs, key: str) -> bool:
    """Tries everything that takes a key; whether it was one."""
    try:
        writer = await blobs.create(place(key))
    except TierFailed as refusal:
        assert refusal.trouble == "refused"
        for refused in (blobs.remove(key, unfinished=True), blobs.holds(key), first(blobs, key)):
            with pytest.raises(TierFailed) as caught:
                await refused
            assert caught.value.trouble == "refused"
        return False
    await writer.write(Part(1, 0, memoryview(b"ours"), 0))
    await writer.complete()
    assert await first(blobs, key) == b"o"
    await blobs.remove(key, unfinished=True)
    return True


def use_below_the_check(root: Path, key: str) -> None:
    """What would happen if a key were not looked at at all: still nothing outside is touched."""
    names = key.split("/")[:20]
    for work in (
        lambda: os.close(local_files.new_file(root, names)),
        lambda: os.close(local_files.open_file(root, names)),
        lambda: local_files.is_file(root, names),
        lambda: local_files.publish(root, names, names),
        lambda: local_files.remove_file(root, names),
    ):
        with suppress(OSError, UnicodeEncodeError):
            work()


async def first(blobs: LocalBlobs, key: str) -> bytes:
    async with blobs.read(key, 0, 1) as chunks:
        return b"".join([chunk async for chunk in chunks])


@pytest.mark.slow
@pytest.mark.timeout(0 if FULL else 300)
@settings(
    max_examples=HOW_MANY // KEYS_AT_ONCE,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
)
@given(st.lists(HOSTILE, min_size=KEYS_AT_ONCE, max_size=KEYS_AT_ONCE))
async def test_e8_100_000_hostile_keys_never_leave_the_root(
    tmp_path_factory: pytest.TempPathFactory, keys: list[str]
) -> None:
    cage = tmp_path_factory.getbasetemp() / "cage"
    root, other = cage / "deep" / "root", cage / "deep" / "other"
    if not cage.exists():
        root.mkdir(parents=True)
        other.mkdir()
        (cage / "x.mp4").write_bytes(b"not ours")
        (cage / "deep" / "x.mp4").write_bytes(b"not ours")
    blobs = await volume(root)
    TOUCHED.paths.clear()
    # What lasts is not the question here, and waiting for it takes long.
    with TOUCHED.watched(), patch.object(os, "fsync", lambda _: None):
        for key in keys:
            try:
                names_of(key)
            except TierFailed:
                use_below_the_check(other, key)
            else:
                assert await use(blobs, key)
    for path in TOUCHED.paths - {str(root), str(root / ".reelgate-volume"), str(other)}:
        assert "/" not in path, path
        assert path not in {"", ".", ".."}
    inside = (root, other)
    outside = [
        path
        for path in (*cage.iterdir(), *(cage / "deep").iterdir())
        if not any(path.is_relative_to(one) for one in inside)
    ]
    assert sorted(path.name for path in outside) == ["deep", "x.mp4", "x.mp4"]
    assert all(path.read_bytes() == b"not ours" for path in outside if path.is_file())


@pytest.mark.parametrize("key", CLASSIC)
async def test_e8_classic_traversals_are_refused_everywhere(tmp_path: Path, key: str) -> None:
    blobs = await volume(tmp_path / "root")
    assert not await use(blobs, key)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["root"]


async def test_e8_good_keys_are_taken(tmp_path: Path) -> None:
    blobs = await volume(tmp_path / "root")
    for key in (GOOD, GOOD.replace(".mp4", ".thumb.webp"), f"input/{uuid4()}/{uuid4()}.png"):
        assert await use(blobs, key)


# What is planted inside


@pytest.mark.parametrize("depth", range(5))
async def test_e8_a_planted_link_is_not_followed_out(tmp_path: Path, depth: int) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    blobs = await volume(root)
    names = GOOD.split("/")
    there = outside.joinpath(*names[depth + 1 :])
    there.parent.mkdir(parents=True, exist_ok=True)
    there.write_bytes(b"not ours")
    link = root.joinpath(*names[: depth + 1])
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(outside)
    with pytest.raises(TierFailed) as caught:
        await first(blobs, GOOD)
    assert caught.value.trouble == "broken"
    if depth < len(names) - 1:
        writer = await blobs.create(place(GOOD))
        await writer.write(Part(1, 0, memoryview(b"ours"), 0))
        for refused in (writer.complete(), blobs.remove(GOOD, unfinished=True), blobs.holds(GOOD)):
            with pytest.raises(TierFailed):
                await refused
        await writer.abort()
    else:
        # The link itself is what lies there: it is replaced and removed, not followed.
        assert not await blobs.holds(GOOD)
        await blobs.remove(GOOD, unfinished=True)
        assert not link.is_symlink()
    assert there.read_bytes() == b"not ours"
    assert not [
        path for path in root.rglob("*") if path.is_file() and path.name != ".reelgate-volume"
    ]


@pytest.mark.parametrize("name", [".unfinished", ".reelgate-volume"])
async def test_e8_our_own_folders_are_not_followed_out_either(tmp_path: Path, name: str) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    blobs = await volume(root)
    if name == ".unfinished":
        outside.mkdir()
    else:
        (root / name).rename(outside)
    (root / name).symlink_to(outside)
    with pytest.raises(TierFailed):
        await blobs.create(place(GOOD))
    if outside.is_dir():
        assert not list(outside.iterdir())


async def test_e8_the_root_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "root").symlink_to(tmp_path / "disk")
    blobs = await volume(tmp_path / "root")
    assert await use(blobs, GOOD)


async def test_e8_what_is_no_plain_file_is_not_read(tmp_path: Path) -> None:
    blobs = await volume(tmp_path / "root")
    path = tmp_path / "root" / GOOD
    path.parent.mkdir(parents=True)
    os.mkfifo(path)
    with pytest.raises(TierFailed):
        await first(blobs, GOOD)
    path.unlink()
    path.mkdir()
    with pytest.raises(TierFailed):
        await first(blobs, GOOD)
    assert not await blobs.holds(GOOD)


async def test_files_are_not_for_everybody(tmp_path: Path) -> None:
    blobs = await volume(tmp_path / "root")
    writer = await blobs.create(place(GOOD))
    await writer.write(Part(1, 0, memoryview(b"ours"), 0))
    await writer.complete()
    path = tmp_path / "root" / GOOD
    assert stat.S_IMODE(path.stat().st_mode) & 0o007 == 0
    assert stat.S_IMODE(path.parent.stat().st_mode) & 0o007 == 0

"""E8: what the local tier acknowledges is durable, and a disk that is full or broken leaves nothing behind."""

import asyncio
import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from services.storage.local.blobs import LocalBlobs
from services.storage.ports import Part, Place, TierFailed, Trouble

KEY = f"{uuid4()}/2026/01/02/{uuid4()}.mp4"


async def volume(root: Path, min_free_bytes: int = 0) -> LocalBlobs:
    blobs = LocalBlobs(root, min_free_bytes=min_free_bytes)
    blobs.volume = await blobs.name_volume()
    return blobs


def place(size_bytes: int = 0, key: str = KEY) -> Place:
    return Place(key, "video/mp4", uuid4(), whole=False, again=False, size_bytes=size_bytes)


def part(number: int = 1) -> Part:
    return Part(number, (number - 1) * 4096, memoryview(bytes(4096)), 0)


async def store(blobs: LocalBlobs) -> None:
    writer = await blobs.create(place())
    await writer.write(part())
    await writer.complete()


def files(root: Path) -> list[str]:
    return sorted(path.name for path in root.rglob("*") if path.is_file())


class Journal:
    """What was done to the disk, in its order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
        self.done: list[tuple[str, str]] = []
        self._root = root
        for name in ("fsync", "rename", "mkdir", "pwrite"):
            monkeypatch.setattr(os, name, self._noted(name, getattr(os, name)))

    def _noted(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*arguments: Any, **words: Any) -> Any:
            result = real(*arguments, **words)
            if isinstance(arguments[0], int):
                what = str(Path(f"/proc/self/fd/{arguments[0]}").readlink())
            else:
                parent = str(
                    Path(f"/proc/self/fd/{words.get('dst_dir_fd', words.get('dir_fd'))}").readlink()
                )
                what = f"{parent}/{arguments[-1] if name == 'rename' else arguments[0]}"
            self.done.append((name, str(Path(what).relative_to(self._root))))
            return result

        return noted


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="names descriptors by /proc")
async def test_e8_file_and_folders_are_durable_before_it_is_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = await volume(tmp_path)
    writer = await blobs.create(place())
    journal = Journal(monkeypatch, tmp_path)
    await writer.write(part())
    await writer.complete()
    done = journal.done
    names = KEY.split("/")
    [rename] = [step for step in done if step[0] == "rename"]
    assert rename == ("rename", KEY)
    beside = next(what for name, what in done if name == "pwrite")
    assert done.index(("fsync", beside)) > done.index(("pwrite", beside))
    assert done.index(("fsync", beside)) < done.index(rename)
    for depth in range(1, len(names)):
        made = "/".join(names[:depth])
        parent = "/".join(names[: depth - 1]) or "."
        assert done.index(("mkdir", made)) < done.index(("fsync", parent)) < done.index(rename)
    assert done[-1] == ("fsync", "/".join(names[:-1]))


async def test_e8_a_removal_is_durable_before_it_is_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = await volume(tmp_path)
    await store(blobs)
    synced: list[int] = []
    real = os.fsync

    def fsync(file: int) -> None:
        real(file)
        synced.append(file)

    monkeypatch.setattr(os, "fsync", fsync)
    await blobs.remove(KEY, unfinished=False)
    assert len(synced) == 1
    await blobs.remove(KEY, unfinished=False)
    assert len(synced) == 1


def descriptors(below: Path) -> list[str]:
    """What this process has open there; nothing where the system does not say."""
    found = []
    for descriptor in Path("/proc/self/fd").glob("*"):
        with suppress(OSError):  # that of the listing itself
            found.append(str(descriptor.readlink()))
    return sorted(one for one in found if one.startswith(str(below)))


@pytest.mark.parametrize(
    ("number", "trouble"),
    [
        (errno.ENOSPC, "full"),
        (errno.EDQUOT, "full"),
        (errno.EFBIG, "full"),
        (errno.EIO, "broken"),
        (errno.EROFS, "broken"),
    ],
)
@pytest.mark.parametrize("step", ["pwrite", "fsync", "rename", "mkdir", "open"])
async def test_e8_a_disk_that_fails_at_any_step_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, number: int, trouble: Trouble
) -> None:
    blobs = await volume(tmp_path)
    before = descriptors(tmp_path)
    real = getattr(os, step)

    def fails(*arguments: Any, **words: Any) -> Any:
        if step == "open" and not arguments[1] & os.O_CREAT:
            return real(*arguments, **words)
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, step, fails)
        with pytest.raises(TierFailed) as caught:
            await store(blobs)
        assert caught.value.trouble == trouble
    assert files(tmp_path) == [".reelgate-volume"]
    assert descriptors(tmp_path) == before, "a descriptor is left open"
    # It is well again.
    await store(blobs)
    assert files(tmp_path) == sorted([".reelgate-volume", Path(KEY).name])


async def test_e8_parts_that_fail_while_others_are_written_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = await volume(tmp_path)
    real = os.pwrite

    def fails(file: int, data: memoryview, offset: int) -> int:
        if offset == 4096:
            raise OSError(errno.ENOSPC, "")
        return real(file, data, offset)

    monkeypatch.setattr(os, "pwrite", fails)
    writer = await blobs.create(place())
    results = await asyncio.gather(
        *(writer.write(part(number)) for number in (1, 2, 3)), return_exceptions=True
    )
    assert [type(result) for result in results if result] == [TierFailed]
    await writer.abort()
    assert files(tmp_path) == [".reelgate-volume"]


async def test_e8_room_that_others_were_promised_is_not_promised_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """REELGATE_STORAGE_LOCAL_MIN_FREE_BYTES stays free although bytes are still to come."""
    blobs = await volume(tmp_path, min_free_bytes=10_000)

    class Disk:
        f_frsize = 1
        f_bavail = 30_000

    monkeypatch.setattr(os, "statvfs", lambda _: Disk)
    first = await blobs.create(place(12_288))
    with pytest.raises(TierFailed) as caught:
        await blobs.create(place(12_288, KEY.replace("2026", "2027")))
    assert caught.value.trouble == "full"
    second = await blobs.create(place(4096, KEY.replace("2026", "2028")))
    await blobs.check()
    await second.abort()
    # What was written is counted by the disk itself.
    for number in (1, 2, 3):
        await first.write(part(number))
        Disk.f_bavail -= 4096
    third = await blobs.create(place(7000, KEY.replace("2026", "2029")))
    await third.abort()
    await first.complete()
    with pytest.raises(TierFailed):
        await blobs.create(place(8000, KEY.replace("2026", "2030")))

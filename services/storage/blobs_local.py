"""The local tier: files below one directory, durable before they are acknowledged."""

import asyncio
import errno
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import UUID

from services.kernel.ids import new_id
from services.storage.objects import Link, Tier
from services.storage.ports import Part, Place, TierFailed

VOLUME_FILE: Final = ".reelgate-volume"
_UNFINISHED: Final = ".unfinished"
_READ_BYTES: Final = 1024 * 1024
_CHUNK_BYTES: Final = 256 * 1024
# Names that are names everywhere, begin with a letter or digit, and so are never "." or "..".
_KEY: Final = re.compile(
    r"(?:[A-Za-z0-9][A-Za-z0-9_-]{0,99}/){1,12}[A-Za-z0-9][A-Za-z0-9_-]{0,99}\.[a-z0-9]{1,8}"
)


class LocalBlobs:
    """Objects as files `root/key`. The volume is named by a file, so that another one in its place is noticed."""

    tier = Tier.LOCAL
    prefix = ""

    def __init__(self, root: Path, *, min_free_bytes: int) -> None:
        self._root = root.absolute()
        self._min_free_bytes = min_free_bytes
        self.volume: UUID | None = None
        """The volume in use; None before one was agreed on."""

    async def create(self, place: Place) -> "_LocalWriter":
        """A writer to a file beside, which takes its place when it is complete."""
        with _disk_errors():
            return await asyncio.to_thread(self._create, place)

    def _create(self, place: Place) -> "_LocalWriter":
        target = self._path(place.key)
        self._require_volume()
        self._require_room()
        folder = self._root / _UNFINISHED
        folder.mkdir(exist_ok=True)
        return _LocalWriter(self._root, folder / f"{target.stem}.{place.attempt.hex}", target)

    @asynccontextmanager
    async def read(self, key: str, offset: int, length: int) -> AsyncIterator[AsyncIterator[bytes]]:
        """The bytes from the file."""
        with _disk_errors():
            file = await asyncio.to_thread(os.open, self._path(key), os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield _chunks(file, offset, length)
        finally:
            os.close(file)

    async def remove(self, key: str, *, unfinished: bool) -> None:
        """Unlinks the file, durably."""
        with _disk_errors():
            await asyncio.to_thread(self._remove, key, unfinished)

    def _remove(self, key: str, unfinished: bool) -> None:
        target = self._path(key)
        # On another volume the file would only seem to be gone.
        self._require_volume()
        if unfinished:
            for left in (self._root / _UNFINISHED).glob(f"{target.stem}.*"):
                left.unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            target.unlink()
            _sync_folder(target.parent)

    async def link(self, key: str, download_name: str) -> Link:  # noqa: ARG002 - the port's
        """None of its own: the bytes are read through Download."""
        return Link("", None)

    async def check(self) -> None:
        """Whether the volume is there and has room."""
        with _disk_errors():
            await asyncio.to_thread(self._check)

    def _check(self) -> None:
        self._require_volume()
        self._require_room()

    async def marked(self) -> UUID | None:
        """The id of the volume that is there; None for one that was never used."""
        with _disk_errors():
            return await asyncio.to_thread(self._read_mark)

    async def use_volume(self, volume: UUID, *, mark: bool) -> None:
        """Accepts this volume and no other from now on; `mark` writes its id when it has none."""
        self.volume = volume
        if mark:
            with _disk_errors():
                await asyncio.to_thread(self._mark, volume)

    def _mark(self, volume: UUID) -> None:
        self._root.mkdir(parents=True, exist_ok=True)
        if self._read_mark() is not None:
            return
        beside = self._root / f"{VOLUME_FILE}.{new_id().hex}"
        beside.write_text(f"{volume}\n")
        beside.rename(self._root / VOLUME_FILE)
        _sync_folder(self._root)

    def _read_mark(self) -> UUID | None:
        try:
            return UUID((self._root / VOLUME_FILE).read_text().strip())
        except (FileNotFoundError, ValueError):
            return None

    def _require_volume(self) -> None:
        if self.volume is None or self._read_mark() != self.volume:
            raise TierFailed(
                Tier.LOCAL,
                "missing",
                f"{self._root} is not the volume that this installation uses: its {VOLUME_FILE} is another or missing",
            )

    def _require_room(self) -> None:
        state = os.statvfs(self._root)
        if state.f_bavail * state.f_frsize < self._min_free_bytes:
            raise TierFailed(Tier.LOCAL, "full", "less room is left than is to be kept free")

    def _path(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise TierFailed(Tier.LOCAL, "refused", "the key is not one of ours")
        return self._root / key


class _LocalWriter:
    """One body on its way to its file."""

    def __init__(self, root: Path, beside: Path, target: Path) -> None:
        self._root = root
        self._beside = beside
        self._target = target
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._file = os.open(beside, flags, 0o640)

    async def write(self, part: Part) -> None:
        with _disk_errors():
            await _to_the_end(self._write, part.data, part.offset)

    def _write(self, data: memoryview, offset: int) -> None:
        done = 0
        while done < len(data):
            done += os.pwrite(self._file, data[done:], offset + done)

    async def complete(self) -> None:
        with _disk_errors():
            await _to_the_end(self._complete)

    def _complete(self) -> None:
        os.fsync(self._file)
        self._close()
        _make_folders(self._root, self._target.parent)
        self._beside.rename(self._target)
        _sync_folder(self._target.parent)

    async def abort(self) -> None:
        with _disk_errors():
            await asyncio.to_thread(self._abort)

    def _abort(self) -> None:
        self._close()
        self._beside.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


_T = TypeVar("_T")


async def _to_the_end(work: Callable[..., _T], *arguments: Any) -> _T:
    """Runs in a thread and waits for it also when cancelled: until it ends the file must stay open."""
    running = asyncio.get_running_loop().run_in_executor(None, work, *arguments)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait({running})
        if not running.cancelled():
            running.exception()  # seen
        raise


async def _chunks(file: int, offset: int, length: int) -> AsyncIterator[bytes]:
    while length:
        with _disk_errors():
            block = await _to_the_end(os.pread, file, min(_READ_BYTES, length), offset)
        if not block:
            raise TierFailed(Tier.LOCAL, "broken", "the file is shorter than the object")
        offset, length = offset + len(block), length - len(block)
        for start in range(0, len(block), _CHUNK_BYTES):
            yield block[start : start + _CHUNK_BYTES]


def _make_folders(root: Path, folder: Path) -> None:
    """Makes the missing folders, each durable in its parent."""
    if folder == root or folder.is_dir():
        return
    _make_folders(root, folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise TierFailed(Tier.LOCAL, "missing", str(error.strerror)) from None
    except OSError as error:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
        raise TierFailed(Tier.LOCAL, "full" if full else "broken", str(error.strerror)) from None

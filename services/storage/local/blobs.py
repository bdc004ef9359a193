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
from services.storage.local import files as local_files
from services.storage.local import listing as local_listing
from services.storage.objects import Link, Tier
from services.storage.ports import Listed, Part, Place, TierFailed, Unfinished

VOLUME_FILE: Final = ".reelgate-volume"
SPOOL: Final = ".spool"
_UNFINISHED: Final = ".unfinished"
_LONGEST_MARK: Final = 100
_READ_BYTES: Final = 1024 * 1024
_CHUNK_BYTES: Final = 256 * 1024
_T = TypeVar("_T")
# Names that are names everywhere, begin with a letter or digit, and so are never "." or "..".
_KEY: Final = re.compile(
    r"(?:[A-Za-z0-9][A-Za-z0-9_-]{0,99}/){1,12}[A-Za-z0-9][A-Za-z0-9_-]{0,99}(?:\.thumb)?\.[a-z0-9]{1,8}"
)


class LocalBlobs:
    """Objects as files `root/key`. The volume is named by a file, so that another one in its place is noticed."""

    tier = Tier.LOCAL
    prefix = ""

    def __init__(self, root: Path, *, min_free_bytes: int) -> None:
        self._root = root.absolute()
        self._min_free_bytes = min_free_bytes
        self._expected: dict[str, int] = {}  # bytes that are still to come, by unfinished file
        self.volume: UUID | None = None
        """The volume in use; None before one was agreed on."""

    async def create(self, place: Place) -> "_LocalWriter":
        """A writer to a file beside, which takes its place when it is complete."""
        with _disk_errors():
            return await asyncio.to_thread(self._create, place)

    def _create(self, place: Place) -> "_LocalWriter":
        target = names_of(place.key)
        self._require_volume()
        self._require_room(place.size_bytes)
        beside = [_UNFINISHED, f"{_stem(target)}.{place.attempt.hex}"]
        return _LocalWriter(self._root, beside, target, self._expected, place.size_bytes)

    @asynccontextmanager
    async def read(self, key: str, offset: int, length: int) -> AsyncIterator[AsyncIterator[bytes]]:
        """The bytes from the file."""
        with _disk_errors():
            file = await asyncio.to_thread(local_files.open_file, self._root, names_of(key))
        try:
            yield _chunks(file, offset, length)
        finally:
            os.close(file)

    async def remove(self, key: str, *, unfinished: bool) -> None:
        """Unlinks the file, durably."""
        with _disk_errors():
            await asyncio.to_thread(self._remove, key, unfinished)

    def _remove(self, key: str, unfinished: bool) -> None:
        target = names_of(key)
        # On another volume the file would only seem to be gone.
        self._require_volume()
        if unfinished:
            local_files.remove_beginning(self._root, [_UNFINISHED], f"{_stem(target)}.")
        local_files.remove_file(self._root, target)

    def listing(self) -> AsyncIterator[list[Listed]]:
        """The files below the root."""
        return self._walked(lambda: local_listing.keys(self._root))

    def unfinished(self) -> AsyncIterator[list[Unfinished]]:
        """Files beside their places, and spools that a crash left."""
        return self._walked(lambda: local_listing.pieces(self._root, (_UNFINISHED, SPOOL)))

    async def _walked(self, walk: Callable[[], Iterator[list[_T]]]) -> AsyncIterator[list[_T]]:
        pages = walk()
        while True:
            with _disk_errors():
                page = await asyncio.to_thread(next, pages, None)
                # Asked behind each page: what another volume does not have is not gone.
                await asyncio.to_thread(self._require_volume)
            if page is None:
                return
            yield page

    async def holds(self, key: str) -> bool:
        """Whether the file is there."""
        with _disk_errors():
            found = await asyncio.to_thread(local_files.is_file, self._root, names_of(key))
            await asyncio.to_thread(self._require_volume)
        return found

    async def discard(self, left: Unfinished) -> None:
        """Unlinks it."""
        if left.key.partition("/")[0] not in {_UNFINISHED, SPOOL}:
            raise TierFailed(Tier.LOCAL, "refused", "the file is not an unfinished one")
        with _disk_errors():
            await asyncio.to_thread(self._require_volume)
            await asyncio.to_thread(local_files.remove_file, self._root, left.key.split("/"))

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

    async def name_volume(self) -> UUID:
        """The id of the volume that is there; one that was never used is given one, durably."""
        with _disk_errors():
            return await asyncio.to_thread(self._name_volume)

    def _name_volume(self) -> UUID:
        self._root.mkdir(parents=True, exist_ok=True)
        if (found := self._read_mark()) is not None:
            return found
        volume = new_id()
        beside = f"{VOLUME_FILE}.{volume.hex}"
        with os.fdopen(local_files.new_file(self._root, [beside]), "w") as file:
            file.write(f"{volume}\n")
            file.flush()
            os.fsync(file.fileno())
        local_files.publish(self._root, [beside], [VOLUME_FILE])
        return volume

    def _read_mark(self) -> UUID | None:
        try:
            file = local_files.open_file(self._root, [VOLUME_FILE])
        except FileNotFoundError:
            return None
        with os.fdopen(file) as opened:
            text = opened.read(_LONGEST_MARK)
        try:
            return UUID(text.strip())
        except ValueError:
            return None

    def _require_volume(self) -> None:
        if self.volume is None or self._read_mark() != self.volume:
            raise TierFailed(
                Tier.LOCAL,
                "missing",
                f"{self._root} is not the volume that this installation uses: its {VOLUME_FILE} is another or missing",
            )

    def _require_room(self, size_bytes: int = 0) -> None:
        state = os.statvfs(self._root)
        # What transfers under way have still to write is as good as written.
        free = state.f_bavail * state.f_frsize - sum(self._expected.values())
        if free - size_bytes < self._min_free_bytes:
            raise TierFailed(Tier.LOCAL, "full", "less room is left than is to be kept free")


class _LocalWriter:
    """One body on its way to its file."""

    def __init__(
        self,
        root: Path,
        beside: list[str],
        target: list[str],
        expected: dict[str, int],
        size_bytes: int,
    ) -> None:
        self._root = root
        self._beside = beside
        self._target = target
        self._expected = expected
        self._writing = 0
        self._failed = False
        self._file = local_files.new_file(root, beside)
        expected[beside[-1]] = size_bytes

    async def write(self, part: Part) -> None:
        self._writing += 1
        try:
            with _disk_errors():
                await _to_the_end(self._write, part.data, part.offset)
            left = self._expected.get(self._beside[-1], 0) - len(part.data)
            self._expected[self._beside[-1]] = max(0, left)
        except TierFailed:
            self._failed = True
            raise
        finally:
            self._writing -= 1
            if self._failed and not self._writing:
                await asyncio.to_thread(self._drop)

    def _write(self, data: memoryview, offset: int) -> None:
        done = 0
        while done < len(data):
            done += os.pwrite(self._file, data[done:], offset + done)

    async def complete(self) -> None:
        try:
            with _disk_errors():
                await _to_the_end(self._complete)
        except TierFailed:
            await asyncio.to_thread(self._drop)
            raise

    def _complete(self) -> None:
        os.fsync(self._file)
        self._close()
        local_files.publish(self._root, self._beside, self._target)

    async def abort(self) -> None:
        with _disk_errors():
            await asyncio.to_thread(self._abort)

    def _abort(self) -> None:
        self._close()
        local_files.remove_file(self._root, self._beside)

    def _drop(self) -> None:
        """A full disk must not stay full of what did not fit. What can not be removed now is found again by its row."""
        with suppress(OSError):
            self._abort()

    def _close(self) -> None:
        self._expected.pop(self._beside[-1], None)
        if self._file >= 0:
            file, self._file = self._file, -1
            os.close(file)


async def _to_the_end(work: Callable[..., _T], *arguments: Any) -> _T:
    """Runs in a thread and waits for it also when cancelled: until it ends the file must stay open."""
    running = asyncio.get_running_loop().run_in_executor(None, work, *arguments)
    running.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # seen
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait({running})
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


def names_of(key: str) -> list[str]:
    """The names of the folders and of the file that a key is made of. Raises TierFailed."""
    if not _KEY.fullmatch(key):
        raise TierFailed(Tier.LOCAL, "refused", "the key is not one of ours")
    return key.split("/")


def _stem(names: list[str]) -> str:
    return Path(names[-1]).stem


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise TierFailed(Tier.LOCAL, "missing", str(error.strerror)) from None
    except OSError as error:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
        raise TierFailed(Tier.LOCAL, "full" if full else "broken", str(error.strerror)) from None

"""Files below one directory, reached name by name from it, so that no link planted inside leads out."""

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# Without O_NONBLOCK a pipe under the name of a file would be waited for.
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def folder(root: Path, names: Iterable[str], *, make: bool = False) -> Iterator[int]:
    """A descriptor of the folder `root/names…`; with `make` missing ones are made, all durable in their parents.

    The root itself may be a link: the operator chose it. Raises OSError.
    """
    here = os.open(root, _FOLDER)
    try:
        for name in map(_plain, names):
            if make:
                with suppress(FileExistsError):
                    os.mkdir(name, 0o750, dir_fd=here)
            below = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=here)
            try:
                if make:
                    # Also where it was there: whoever made it may not have come that far.
                    os.fsync(here)
            finally:
                os.close(here)
                here = below
        yield here
    finally:
        os.close(here)


def open_file(root: Path, names: Sequence[str]) -> int:
    """Opens a file for reading. Raises OSError, also for what is no plain file."""
    with folder(root, names[:-1]) as parent:
        file = os.open(_plain(names[-1]), _READ, dir_fd=parent)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(f"{names[-1]} is not a plain file")
    return file


def is_file(root: Path, names: Sequence[str]) -> bool:
    """Whether a plain file is there. Raises OSError."""
    try:
        with folder(root, names[:-1]) as parent:
            found = os.stat(_plain(names[-1]), dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return stat.S_ISREG(found.st_mode)


def new_file(root: Path, names: Sequence[str]) -> int:
    """Opens a file for writing that is not there yet, in a folder that is made if need be. Raises OSError."""
    with folder(root, names[:-1], make=True) as parent:
        return os.open(_plain(names[-1]), _NEW, 0o640, dir_fd=parent)


def publish(root: Path, beside: Sequence[str], target: Sequence[str]) -> None:
    """Gives a file, whose bytes are durable, its final name, durably. Raises OSError."""
    with (
        folder(root, beside[:-1]) as origin,
        folder(root, target[:-1], make=True) as parent,
    ):
        names = _plain(beside[-1]), _plain(target[-1])
        os.rename(*names, src_dir_fd=origin, dst_dir_fd=parent)
        os.fsync(parent)


def remove_file(root: Path, names: Sequence[str]) -> None:
    """Unlinks a file, durably; none there is fine. Raises OSError."""
    with suppress(FileNotFoundError), folder(root, names[:-1]) as parent:
        os.unlink(_plain(names[-1]), dir_fd=parent)
        os.fsync(parent)


def remove_beginning(root: Path, names: Sequence[str], beginning: str) -> None:
    """Unlinks the files of a folder whose names begin so. Raises OSError."""
    with suppress(FileNotFoundError), folder(root, names) as parent:
        for name in os.listdir(parent):  # noqa: PTH208 - knows no descriptors
            if name.startswith(beginning):
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=parent)


def _plain(name: str) -> str:
    """The name itself. Raises OSError for one that would lead elsewhere."""
    if name in {"", ".", ".."} or "/" in name or "\0" in name:
        raise OSError("not the name of a file or folder")
    return name

"""What lies below the root of the local tier, page by page."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

from services.storage.ports import Listed, Unfinished

_PAGE: Final = 1000
_T = TypeVar("_T")


def keys(root: Path) -> Iterator[list[Listed]]:
    """All keys in byte order, in pages of 1,000; the dotted ones at the top are the tier's own and left out."""
    return _pages(_below(os.fsencode(root), b""))


def pieces(root: Path, folders: tuple[str, ...]) -> Iterator[list[Unfinished]]:
    """The files in these folders of the root, where bodies lie that are not complete."""
    return _pages(
        Unfinished(found.key, "", found.modified_at)
        for folder in folders
        if (root / folder).is_dir()
        for found in _below(os.fsencode(root), os.fsencode(f"{folder}/"))
    )


def _below(root: bytes, folder: bytes) -> Iterator[Listed]:
    try:
        with os.scandir(root + b"/" + folder) as entries:
            # As the keys are ordered: a folder's name ends in a slash.
            found = sorted(
                entry.name + (b"/" if entry.is_dir(follow_symlinks=False) else b"")
                for entry in entries
                if folder or not entry.name.startswith(b".")
            )
    except FileNotFoundError:
        return  # removed meanwhile
    for name in found:
        if name.endswith(b"/"):
            yield from _below(root, folder + name)
            continue
        try:
            state = os.lstat(root + b"/" + folder + name)
        except FileNotFoundError:
            continue
        key = (folder + name).decode(errors="replace")
        yield Listed(key, state.st_size, datetime.fromtimestamp(state.st_mtime, UTC))


def _pages(found: Iterator[_T]) -> Iterator[list[_T]]:
    while page := list(islice(found, _PAGE)):
        yield page

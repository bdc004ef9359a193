"""One stack per home directory."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from deploy.local.process import StartError

# Longer than the watchdog of a killed runner may take to end what that left.
_PATIENCE_SECONDS = 15.0
_POLL_SECONDS = 0.1


@contextmanager
def exclusive(home: Path) -> Iterator[int]:
    """Hold the home for the length of a with block; gives the lock's file descriptor.

    Raises StartError when a living stack holds it. What a killed one left is waited for.
    """
    file = home / "stack.lock"
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _acquire(descriptor, home)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, home: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        with suppress(BlockingIOError):
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        holder = os.pread(descriptor, 32, 0).decode()
        if _lives(holder) or time.monotonic() > deadline:
            raise StartError(
                f"another stack (process {holder or 'unknown'}) uses {home}: stop it, or set REELGATE_HOME"
                " to another directory"
            )
        time.sleep(_POLL_SECONDS)


def _lives(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except PermissionError:
        return True
    except (ValueError, ProcessLookupError):
        return False
    return True

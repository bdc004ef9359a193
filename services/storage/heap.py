"""The C library's heap, told what to keep."""

import ctypes
from typing import Final

_M_TRIM_THRESHOLD: Final = -1  # malloc.h
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
_LARGE_BYTES: Final = 1024 * 1024
_KEPT_BYTES: Final = 8 * 1024 * 1024


def keep_heap_small() -> None:
    """Has glibc give large freed blocks back to the system at once, and keep a little room for network buffers.

    Left to itself it raises both thresholds with the first large block that is freed, has a heap for each thread, and a
    stream of messages then leaves heaps full of holes behind, as large as chance will have it. Were blocks as small as
    a message of 256 KiB given back, each would cost dozens of page faults, a quarter of the CPU of an upload. Other C
    libraries know no such thing.
    """
    if hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        libc.mallopt(_M_ARENA_MAX, 1)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)

"""What the process takes from itself before it looks at a stranger's file."""

import contextlib
import ctypes
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Final

from services.storage.thumbnailer.protocol import JOB_SECONDS, MOST_JOBS

_MEMORY_BYTES: Final = 1024 * 1024 * 1024
_FILES: Final = 32
# Its parent ends a job that takes too long; this is for the day when it can not.
_JOB_CPU_SECONDS: Final = int(JOB_SECONDS) + 5
_CPU_SECONDS: Final = MOST_JOBS * _JOB_CPU_SECONDS

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38
_CAPABILITY_VERSION_3: Final = 0x20080522
_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWNET: Final = 0x40000000
_CLONE_NEWIPC: Final = 0x08000000


def confine() -> None:
    """Limits memory, files, time and rights of this process for good.

    On Linux it also ends with its parent, gains no rights by a program it might start, and has no network where
    the system lets an ordinary process take its own away (containers often do not: then it merely has nothing to
    say to one). Elsewhere the limits of memory may not be kept by the system.
    """
    with contextlib.suppress(OSError):
        os.setsid()
    if sys.platform == "linux":
        _confine_linux()
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NOFILE, _FILES)
    _limit(resource.RLIMIT_AS, _MEMORY_BYTES)
    _limit(resource.RLIMIT_CPU, _CPU_SECONDS)


def _confine_linux() -> None:
    # When memory runs short everywhere, this is what the system does best without.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    libc = ctypes.CDLL(None, use_errno=True)
    libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET | _CLONE_NEWIPC)
    # Those of the new namespace, and those of a service that was started by root.
    libc.capset((ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0), (ctypes.c_uint32 * 6)())
    # Behind what forgets it.
    libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def begin_job() -> None:
    """Gives the job that begins its share of processor time."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime) + _JOB_CPU_SECONDS
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    if hard == resource.RLIM_INFINITY or soft < hard:
        resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def _limit(what: int, most: int) -> None:
    _, hard = resource.getrlimit(what)
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    # A system that does not know a limit refuses it; the others still hold.
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(what, (most, most))

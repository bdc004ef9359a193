"""The first instant of every child process: tie it to its parent, drop privileges, become the program.

Run as a script (``python -I -S child.py PARENT_PID DEATH_SIGNAL UID GID PROGRAM ARGUMENT...``; ``-`` for
UID and GID keeps the caller's), never imported. It is a program of its own instead of a ``preexec_fn``
because Python code between fork and exec may deadlock in a parent that has threads.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Never returns: the process becomes the program, or ends with a message on standard error."""
    parent, death_signal, uid, gid, *program = sys.argv[1:]
    # Loaded while still privileged: afterwards the interpreter's own files may be out of reach.
    prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None
    if uid != "-":
        os.setgroups([])
        os.setgid(int(gid))
        os.setuid(int(uid))
    if prctl is not None:
        # After setuid, which clears it; it survives the exec below.
        prctl(PR_SET_PDEATHSIG, int(death_signal))
        if os.getppid() != int(parent):
            sys.exit("the parent ended before its child began")
    try:
        os.execvp(program[0], program)  # noqa: S606 - no shell is wanted
    except OSError as error:
        sys.exit(f"cannot start {program[0]}: {error.strerror}")


if __name__ == "__main__":
    main()

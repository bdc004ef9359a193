"""TCP ports on the loopback address: free ones, outside the range the kernel gives to clients."""

import random
import socket
from collections.abc import Container

LOOPBACK = "127.0.0.1"
# Below the usual ephemeral range (32768 and up), also after SeaweedFS adds 10000: a port that some
# client connection borrowed while its owner was being restarted would keep that owner down.
_LOWEST, _HIGHEST = 11_000, 21_999
_TRIES = 500


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: connections of a past server in TIME_WAIT are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def choose(taken: Container[int] = (), *, companion: int = 0) -> int:
    """A free port that is not in ``taken``; with ``companion`` also port + companion is free.

    Raises OSError when none was found.
    """
    for _ in range(_TRIES):
        port = random.randint(_LOWEST, _HIGHEST)  # noqa: S311 - spread, not secrecy
        if port in taken or port + companion in taken or not is_free(port):
            continue
        if companion == 0 or is_free(port + companion):
            return port
    raise OSError(f"no free port between {_LOWEST} and {_HIGHEST}")

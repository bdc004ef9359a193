"""Runs a pipe of commands and says what they used; alone in a small process of its own.

(A process begins with the peak memory of the one that started it.) In on standard input, as JSON: a list of commands,
each a list of words. Out: seconds on the clock, seconds of CPU and peak bytes of memory, both summed over the commands,
and what the last one printed. The exit code is that of the first that failed.
"""

import json
import os
import subprocess
import sys
import time
from typing import IO


def main() -> int:
    commands: list[list[str]] = json.load(sys.stdin)
    begin = time.perf_counter()
    processes: list[subprocess.Popen[bytes]] = []
    source: IO[bytes] | int = subprocess.DEVNULL
    for words in commands:
        process = subprocess.Popen(words, stdin=source, stdout=subprocess.PIPE)
        if not isinstance(source, int):
            source.close()
        assert process.stdout is not None
        source = process.stdout
        processes.append(process)
    assert not isinstance(source, int)
    printed = source.read().decode()
    cpu_seconds, peak_bytes = 0.0, 0
    for process in processes:
        # Waited for here: only so does the kernel tell what this one child has used.
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        cpu_seconds += used.ru_utime + used.ru_stime
        peak_bytes += used.ru_maxrss * 1024
    seconds = time.perf_counter() - begin
    figures = {"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_bytes": peak_bytes}
    print(json.dumps({**figures, "printed": printed}))
    return next((one.returncode for one in processes if one.returncode), 0)


if __name__ == "__main__":
    sys.exit(main())

"""What a process of ours has used so far."""

from pathlib import Path

import psutil

MIB = 2**20


def cpu_seconds(pid: int) -> float:
    """User and system time since its start."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def rss_bytes(pid: int) -> int:
    """Resident memory now."""
    return int(psutil.Process(pid).memory_info().rss)


def forget_peak(pid: int) -> None:
    """Lets the peak of resident memory begin anew, from what it is now (Linux)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_rss_bytes(pid: int) -> int:
    """Most resident memory since `forget_peak` (Linux)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise LookupError(f"the kernel does not say how much memory {pid} had")

"""Storage processes for those who kill many: forked from one that has imported everything, which is most of a start."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from typing import Any, Self

from tests.integration.storage.harness import ROOT, StorageProcess

# Whoever dies is forgotten at once; what is said of a child is its number.
_NURSERY = """
import json, os, signal, sys
import services.storage.__main__ as storage
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print("ready", flush=True)
for line in sys.stdin:
    told = json.loads(line)
    if child := os.fork():
        print(child, flush=True)
        continue
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    log = os.open(told["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    null = os.open(os.devnull, os.O_RDWR)
    for number, file in enumerate((null, log, log)):
        os.dup2(file, number)
    os.chdir(os.path.dirname(told["log"]))
    os.environ.clear()
    os.environ.update(told["environment"])
    sys.argv = ["storage"]
    try:
        storage.main()
    finally:
        os._exit(1)
"""


class Nursery:
    """Forks storage processes."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    @classmethod
    @contextmanager
    def open(cls) -> Iterator[Self]:
        """One that lives as long as the block."""
        paths = {"PYTHONPATH": f"{ROOT}:{ROOT / 'protos' / 'gen'}", "PATH": os.environ["PATH"]}
        command = [sys.executable, "-c", _NURSERY]
        pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with subprocess.Popen(command, env=paths, **pipes) as process:
            nursery = cls(process)
            nursery._answer()
            yield nursery
            process.kill()

    def fork(self, environment: dict[str, str], log: Path) -> int:
        """Starts one; gives its process id."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"environment": environment, "log": str(log)}) + "\n")
        self._process.stdin.flush()
        return int(self._answer())

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


class ForkedStorage(StorageProcess):
    """As `python -m services.storage`, without its imports. Exit codes are not known: 0."""

    def __init__(self, nursery: Nursery, like: StorageProcess) -> None:
        self.__dict__.update(like.__dict__)
        self._nursery = nursery
        self._pid = 0

    @property
    def pid(self) -> int:
        return self._pid

    def start(self) -> Self:
        self._pid = self._nursery.fork(self.environment, self.log)
        deadline = time.monotonic() + 60
        while not self._ready():
            assert time.monotonic() < deadline, self.log.read_text()[-4000:]
            time.sleep(0.05)
        return self

    def kill(self) -> None:
        self.stop(SIGKILL)

    def stop(self, number: Signals = SIGTERM) -> int:
        with suppress(ProcessLookupError):
            if self._pid:
                os.kill(self._pid, number)
        return self.wait()

    def wait(self) -> int:
        deadline = time.monotonic() + 20
        with suppress(ProcessLookupError):
            while self._pid:
                os.kill(self._pid, 0)
                assert time.monotonic() < deadline, "it does not end"
                time.sleep(0.01)
        self._pid = 0
        return 0

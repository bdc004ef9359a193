"""The log of what was asked: one line for each accepted new submit, one for each replay of an old one."""

import json
import time
from pathlib import Path
from typing import Any


class SubmitLog:
    """Two append-only files of JSON lines in the studio's directory."""

    def __init__(self, directory: Path) -> None:
        self._submits, self._replays = directory / "submits.jsonl", directory / "replays.jsonl"

    def submitted(self, entry: dict[str, Any]) -> None:
        """Notes a new submit."""
        self._append(self._submits, entry)

    def replayed(self, entry: dict[str, Any]) -> None:
        """Notes a submit that repeated an idempotency key."""
        self._append(self._replays, entry)

    def read(self) -> dict[str, list[dict[str, Any]]]:
        """Both logs, oldest first."""
        return {"submits": self._lines(self._submits), "replays": self._lines(self._replays)}

    @staticmethod
    def _append(path: Path, entry: dict[str, Any]) -> None:
        # One write of one line: a kill leaves whole lines, and a test may read meanwhile.
        line = json.dumps({"at": time.time(), **entry}, ensure_ascii=False)
        with path.open("ab", buffering=0) as file:
            file.write(line.encode() + b"\n")

    @staticmethod
    def _lines(path: Path) -> list[dict[str, Any]]:
        return (
            [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []
        )

"""The service as a process."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import aiohttp

from deploy.local import ports
from tests.contract.quota.running import Keys

ROOT: Final = Path(__file__).parents[3]
COMMAND: Final = (sys.executable, "-m", "services.quota")


class Process:
    """One `python -m services.quota` on ports of its own, which writes into `log`."""

    def __init__(self, database: str, keys: Keys, log: Path, **settings: str) -> None:
        port, admin_port = ports.choose(), ports.choose()
        self.address = f"127.0.0.1:{port}"
        self.admin = f"http://127.0.0.1:{admin_port}"
        self.log = log
        self.environment = {
            **_surroundings(),
            "REELGATE_QUOTA_LISTEN": self.address,
            "REELGATE_QUOTA_ADMIN_LISTEN": f"127.0.0.1:{admin_port}",
            "REELGATE_QUOTA_DATABASE_URL": database,
            "REELGATE_JWKS_FILE": str(keys.jwks_file),
            **settings,
        }

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        with (
            self.log.open("ab") as log,
            subprocess.Popen(COMMAND, env=self.environment, cwd=ROOT, stderr=log) as process,
        ):
            try:
                yield process
            finally:
                process.kill()

    async def until_ready(self) -> None:
        async with aiohttp.ClientSession() as session:
            while True:
                try:
                    async with session.get(f"{self.admin}/readyz") as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientConnectionError:
                    pass
                await asyncio.sleep(0.05)


def _surroundings() -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if "REELGATE" not in name}
    return own | {"PYTHONPATH": f"{ROOT}:{ROOT / 'protos' / 'gen'}"}

"""What makes bytes visible in S3 is done, and the one who asked for it never hears of it."""

import asyncio
from dataclasses import replace
from typing import Any

from tests.faults.storage.bad_s3 import BadS3, Call, Deed

_FINAL = frozenset({"PutObject", "CompleteMultipartUpload"})


class _Nowhere:
    """Takes an answer."""

    def write(self, data: bytes) -> None:
        """It is gone."""

    async def drain(self) -> None:
        """There is always room."""


class Unheard:
    """A fault: final writes take effect, and their answers are kept until somebody lets go."""

    def __init__(self) -> None:
        self.done: list[str] = []
        """The keys that were written."""
        self._let_go = asyncio.Event()

    def __call__(self, call: Call) -> Deed | None:
        return self._hold if call.operation in _FINAL else None

    async def _hold(self, proxy: BadS3, call: Call) -> None:
        nowhere: Any = _Nowhere()
        await proxy.pass_on(replace(call, writer=nowhere))
        self.done.append(call.key)
        await self._let_go.wait()

    def let_go(self) -> None:
        """Whoever waits has gone."""
        self._let_go.set()

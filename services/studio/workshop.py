"""The renderers: a few processes at a time, each of which ends with the render, its abort, or the studio."""

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path

from services.studio.order import Order

_SLOTS = 2
# The folder that holds `services`, so that the renderer is found however the studio was started.
_ROOT = Path(__file__).resolve().parents[2]


class RenderFailedError(Exception):
    """The renderer ended without its result; the message is its last word."""


class Workshop:
    """Runs at most two renders at once; the others wait their turn."""

    def __init__(self, slots: int = _SLOTS) -> None:
        self._slots = asyncio.Semaphore(slots)

    async def render(
        self,
        order: Order,
        *,
        started: Callable[[], None] | None = None,
        encoded: Callable[[int], None] | None = None,
    ) -> None:
        """Renders the order; cancelling it kills the renderer.

        `started` is called when its turn comes, `encoded` with the number of frames done so far.

        Raises:
            RenderFailedError: the renderer ended badly.
        """
        async with self._slots:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "services.studio.render", cwd=_ROOT,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            try:
                if started is not None:
                    started()
                await self._follow(process, order, encoded)
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()

    @staticmethod
    async def _follow(
        process: asyncio.subprocess.Process, order: Order, encoded: Callable[[int], None] | None
    ) -> None:
        orders, frames, words = process.stdin, process.stdout, process.stderr
        if orders is None or frames is None or words is None:
            raise RenderFailedError("the renderer was started without its pipes")
        # This pipe stays open: the renderer ends when it closes, as it does with the studio.
        orders.write(order.to_line())
        async for line in frames:
            if encoded is not None:
                encoded(json.loads(line)["frames"])
        last = (await words.read()).decode(errors="replace").strip().splitlines()[-1:]
        if await process.wait() != 0:
            raise RenderFailedError(
                f"the renderer ended with {process.returncode}: {' '.join(last)}"
            )
        orders.close()

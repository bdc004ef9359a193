"""`reelgate up`: the local stack in the foreground, until Ctrl-C."""

import argparse
import asyncio
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from deploy.local.process import StartError
from deploy.local.ready import Ready
from deploy.local.stack import Stack

_PARENT_CHECK_SECONDS = 0.5


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `up` to the command line."""
    parser = commands.add_parser(
        "up",
        help="start everything on this machine and stay until Ctrl-C",
        description="Starts PostgreSQL, S3, the studio and all services, and starts again what dies.",
    )
    parser.add_argument("--home", type=Path, help="where the data lies (default: $REELGATE_HOME)")
    parser.add_argument(
        "--with-parent",
        action="store_true",
        help="stop as well when the process that started this one is gone",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the stack; gives the exit code."""
    try:
        asyncio.run(_until_stopped(arguments.home, with_parent=arguments.with_parent))
    except StartError as error:
        print(f"\nreelgate: {error}", file=sys.stderr, flush=True)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        pass
    return 0


async def _until_stopped(home: Path | None, *, with_parent: bool) -> None:
    begun = time.monotonic()
    parent = os.getppid()
    stack = Stack(home, report=_say)
    # A second signal cancels the orderly stop, and what is left is killed.
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - this is one
    for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(signal_number, task.cancel)
    _say(f"starting (data and logs in {stack.home})")
    async with stack:
        _welcome(stack.ready, time.monotonic() - begun)
        while not with_parent or os.getppid() == parent:
            with suppress(TimeoutError):
                await asyncio.wait_for(stack.forever(), _PARENT_CHECK_SECONDS)


def _say(line: str) -> None:
    print(f"  {line}", flush=True)


def _welcome(ready: Ready, seconds: float) -> None:
    print(
        f"\nReelgate is ready ({seconds:.1f} s). Ctrl-C stops it.\n\n"
        f"  Open     {ready.bff_url}\n"
        f"  Log in   {ready.email}   {ready.password}\n"
        f"  API      {ready.gateway_url}/v1\n"
        f"  API key  {ready.api_key}\n",
        flush=True,
    )

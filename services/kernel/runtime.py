"""The life of a process: signals, an admin port, background work, and a drain at the end."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import structlog
import uvloop
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from services.kernel.errors import ReelgateError
from services.kernel.logs import LogFormat, LogLevel, configure

log = structlog.get_logger()


class Runtime:
    """Handed to a service's main function: whether it is ready, and when it is to stop."""

    def __init__(self) -> None:
        self.stopping = asyncio.Event()
        self._ready = False

    async def ready_until_stopped(self) -> None:
        """Says that the process is ready, and returns when it is told to stop."""
        self._ready = True
        log.info("ready")
        try:
            await self.stopping.wait()
        finally:
            self._ready = False
        log.info("draining")

    @property
    def is_ready(self) -> bool:
        """Answers calls and was not told to stop."""
        return self._ready and not self.stopping.is_set()

    def stop(self) -> None:
        """Tells the process to drain and end."""
        self.stopping.set()


class Background:
    """Work that goes on until the block that started it ends."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Runs `work` beside the caller. When it fails, the block ends with its error."""
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def cancel(self) -> None:
        """Ends all of it."""
        for task in self._tasks:
            task.cancel()


@asynccontextmanager
async def background() -> AsyncIterator[Background]:
    """A task group for work that goes on until the block ends; what still runs then is cancelled and waited for.

    The block ends at once when some of the work fails, with its error.
    """
    try:
        async with asyncio.TaskGroup() as group:
            work = Background(group)
            yield work
            work.cancel()
    except BaseExceptionGroup as failures:
        if len(failures.exceptions) > 1:
            raise
        raise failures.exceptions[0] from None


def run(
    service: str,
    main: Callable[[Runtime], Awaitable[None]],
    *,
    admin_listen: str,
    log_level: LogLevel = "info",
    log_format: LogFormat = "json",
) -> None:
    """Runs a service until SIGTERM or SIGINT; a second signal ends it at once.

    Exit code 0, or 1 when it could not go on: the log says why.
    """
    configure(service, level=log_level, form=log_format)
    try:
        uvloop.run(_run(main, admin_listen))
    except (ReelgateError, OSError) as error:
        # A sentence for the operator; a trace would say no more.
        log.critical("stopped", error=str(error))
        sys.exit(1)
    except Exception:
        log.exception("stopped")
        sys.exit(1)


async def _run(main: Callable[[Runtime], Awaitable[None]], admin_listen: str) -> None:
    runtime = Runtime()
    running = asyncio.ensure_future(_serve(runtime, main, admin_listen))

    def told_to_stop() -> None:
        if runtime.stopping.is_set():
            log.warning("ended_at_once")
            os._exit(1)
        if not runtime.is_ready:
            # Still starting, perhaps waiting for a database that never comes.
            running.cancel()
        runtime.stop()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told_to_stop)
    await asyncio.wait([running])
    if not running.cancelled():
        running.result()


async def _serve(
    runtime: Runtime, main: Callable[[Runtime], Awaitable[None]], admin_listen: str
) -> None:
    async with _admin(runtime, admin_listen):
        await main(runtime)


@asynccontextmanager
async def _admin(runtime: Runtime, listen: str) -> AsyncIterator[None]:
    """Metrics and health on a port of its own, never on a public one."""

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"status": "healthy"})

    async def readyz(_: web.Request) -> web.Response:
        ready = runtime.is_ready
        return web.json_response(
            {"status": "ready" if ready else "not_ready"}, status=200 if ready else 503
        )

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    host, _, port = listen.rpartition(":")
    try:
        await web.TCPSite(runner, host.strip("[]"), int(port)).start()
        yield
    finally:
        await runner.cleanup()

"""`python -m services.studio`: serves until SIGTERM."""

import asyncio
import signal

import uvloop
from aiohttp import web

from services.kernel import logs
from services.kernel.settings import load
from services.studio.app import make_app
from services.studio.settings import StudioSettings

_SHUTDOWN_SECONDS = (
    0.5  # for answers that are under way; renders are taken up again by the next start
)


async def serve(settings: StudioSettings) -> None:
    """Listens until the process is told to end."""
    app = make_app(settings.directory, settings.api_key.get_secret_value())
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, ended.set)
    try:
        await web.TCPSite(runner, *settings.address).start()
        await ended.wait()
    finally:
        await runner.cleanup()


def main() -> None:
    """Reads the settings and serves."""
    settings = load(StudioSettings)
    logs.configure("studio", level=settings.log_level, form=settings.log_format)
    uvloop.run(serve(settings))


if __name__ == "__main__":
    main()

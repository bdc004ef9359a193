"""`python -m services.frontend_bff` serves; `python -m services.frontend_bff openapi` prints the document."""

import argparse

from services.frontend_bff import openapi
from services.frontend_bff.app import serve
from services.frontend_bff.routes import TABLE
from services.frontend_bff.settings import Settings
from services.kernel.runtime import Runtime, run
from services.kernel.settings import load


def main() -> None:
    """Reads the command line and does what it says."""
    parser = argparse.ArgumentParser(prog="services.frontend_bff", description=__doc__)
    parser.add_argument("command", nargs="?", choices=["serve", "openapi"], default="serve")
    if parser.parse_args().command == "openapi":
        print(openapi.text(TABLE), end="")
        return
    settings = load(Settings)

    async def serve_until_stopped(runtime: Runtime) -> None:
        async with serve(settings, runtime.stopping):
            await runtime.ready_until_stopped()

    run(
        "frontend_bff",
        serve_until_stopped,
        admin_listen=settings.admin_listen,
        log_level=settings.log_level,
        log_format=settings.log_format,
    )


if __name__ == "__main__":
    main()

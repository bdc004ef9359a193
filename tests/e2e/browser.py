"""The Chromium that `make e2e` unpacks, started for tests."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from playwright.async_api import Browser, async_playwright

UNPACKED: Final = Path(__file__).parent / ".browser"
AXE: Final = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
_FLAGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--mute-audio",
)


@asynccontextmanager
async def launched() -> AsyncIterator[Browser]:
    """A running browser, with the libraries and fonts that came with it."""
    program = UNPACKED / "chromium"
    if not program.exists():
        raise FileNotFoundError(f"{program}: `make e2e` puts it there")
    environment: dict[str, str | float | bool] = {
        **os.environ,
        "LD_LIBRARY_PATH": str(UNPACKED / "al2023" / "lib"),
        "FONTCONFIG_FILE": str(UNPACKED / "fonts.conf"),
    }
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=program,
            args=list(_FLAGS),
            env=environment,
        )
        try:
            yield browser
        finally:
            await browser.close()

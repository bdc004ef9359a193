"""A person at a browser: one window of the web UI, and what it complains about."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Self

from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Download,
    Error,
    Locator,
    Page,
    expect,
)

from deploy.local.ready import Ready

DESKTOP: Final = {"width": 1280, "height": 800}
PHONE: Final = {"width": 360, "height": 740}
# What the browser itself says of an answer that is a refusal; the test decides whether it was right.
UNAUTHENTICATED: Final = r"status of 401 .*/api/v1/"
UNREACHABLE: Final = r"net::ERR_|status of 50[234]"
_TELL_VIOLATIONS: Final = """
document.addEventListener("securitypolicyviolation", (violation) =>
  console.error(`policy ${violation.violatedDirective} refused ${violation.blockedURI}`));
"""


class Visitor:
    """``problems`` are console errors, uncaught exceptions and violations of the content security policy."""

    def __init__(self, page: Page, ready: Ready) -> None:
        self.page = page
        self.ready = ready
        self.problems: list[str] = []
        self._allowed: list[str] = []
        page.on("console", self._heard)
        page.on("pageerror", self._threw)

    @classmethod
    @asynccontextmanager
    async def arriving(cls, browser: Browser, ready: Ready, **options: Any) -> AsyncIterator[Self]:
        """With a fresh profile, not logged in; ``options`` are those of a browser context."""
        defaults = {
            "base_url": ready.bff_url,
            "locale": "en-GB",
            "viewport": DESKTOP,
            # Without a GPU, animations take the processor from the studio.
            "reduced_motion": "reduce",
        }
        context = await browser.new_context(**{**defaults, **options})
        await context.add_init_script(_TELL_VIOLATIONS)
        await context.tracing.start(snapshots=True)
        try:
            yield cls(await context.new_page(), ready)
        finally:
            await context.close()

    @property
    def context(self) -> BrowserContext:
        """The profile: cookies, permissions."""
        return self.page.context

    def at(self, testid: str) -> Locator:
        """The parts of the page with this `data-testid`."""
        return self.page.get_by_test_id(testid)

    def allow(self, *patterns: str) -> None:
        """Console errors that match one of these (text and address) are no problems."""
        self._allowed.extend(patterns)

    async def another_tab(self) -> Self:
        """The same person in another tab; its problems are of this one too."""
        tab = type(self)(await self.context.new_page(), self.ready)
        tab.problems, tab._allowed = self.problems, self._allowed
        return tab

    async def open(self, path: str = "/sora") -> None:
        """Goes to a page and waits until it stands."""
        await self.page.goto(path, wait_until="domcontentloaded")

    async def have_session(self) -> None:
        """Logs in without the form."""
        body = {"email": self.ready.email, "password": self.ready.password}
        answer = await self.context.request.post("/api/v1/auth/login", data=body)
        assert answer.ok, await answer.text()

    async def log_in(self, password: str | None = None) -> None:
        """Fills the form and sends it."""
        await self.at("login-email").fill(self.ready.email)
        await self.at("login-password").fill(password or self.ready.password)
        await self.at("login-submit").click()

    async def ask_for(self, prompt: str) -> Locator:
        """Writes a prompt, sends it and returns its card."""
        await self.at("prompt").fill(prompt)
        await self.at("generate").click()
        # The bar is ready for the next one.
        await expect(self.at("prompt")).to_have_value("")
        card = self.card(prompt)
        await expect(card).to_be_visible()
        return card

    def card(self, prompt: str) -> Locator:
        """The card of the work with this prompt (of at most fifty characters)."""
        return self.at("card").filter(has=self.page.get_by_text(prompt, exact=True))

    async def delete_from_card(self, card: Locator) -> None:
        """Deletes it, over the menu when there is one, and waits until the card is gone."""
        await expect(card).to_be_visible()
        if await card.get_by_test_id("more").is_visible():
            await card.get_by_test_id("more").click()
            await self.at("delete").last.click()
        else:
            await card.get_by_test_id("delete").click()
        await self.at("confirm").click()
        await expect(card).to_have_count(0)

    async def downloads(self, button: Locator) -> bytes:
        """What a click on the button brings to the disk."""
        async with self.page.expect_download() as coming:
            await button.click()
        download: Download = await coming.value
        assert await download.failure() is None
        return Path(await download.path()).read_bytes()

    async def keep_trace(self, name: str) -> None:
        """Writes what happened into `test-results/` of the directory in which the tests run."""
        folder = Path("test-results")
        folder.mkdir(exist_ok=True)
        stem = folder / re.sub(r"\W+", "-", name).strip("-")
        await self.context.tracing.stop(path=f"{stem}.zip")
        await self.page.screenshot(path=f"{stem}.png")

    def _heard(self, message: ConsoleMessage) -> None:
        heard = f"{message.text} {message.location['url']}"
        if message.type == "error" and not any(re.search(one, heard) for one in self._allowed):
            self.problems.append(heard)

    def _threw(self, error: Error) -> None:
        self.problems.append(f"uncaught: {error}")


async def plays(player: Locator, *, beyond: float) -> str:
    """Waits until the video has played beyond this many seconds; returns where it comes from."""
    video = player.locator("video")
    await video.page.wait_for_function(
        "([video, beyond]) => video.currentTime > beyond",
        arg=[await video.element_handle(), beyond],
    )
    return str(await video.evaluate("(video) => video.currentSrc"))

"""One product and one browser for all tests of this folder; each test finds the account empty."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Generator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from deploy.local.stack import Stack
from tests.e2e.browser import launched
from tests.e2e.visitor import Visitor
from tests.faults.product import IMPATIENT, Product

ENVIRONMENT = {
    **IMPATIENT,
    "REELGATE_BFF_PORT": "0",
    "REELGATE_GATEWAY_PORT": "0",
    "REELGATE_QUOTA_DEFAULT_BYTES": str(10**9),
}
_FAILED = pytest.StashKey[bool]()
_PATIENCE_MS = 15_000


class Visit(Protocol):
    """Opens a browser window for a person; ``options`` are those of a browser context."""

    async def __call__(self, *, logged_in: bool = True, **options: Any) -> Visitor: ...


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stack() -> AsyncIterator[Stack]:
    """Everything, as `make run` starts it, on free ports, with room for 1 GB of works."""
    with tempfile.TemporaryDirectory(prefix="reelgate-e2e-") as home:
        async with Stack(Path(home), env=ENVIRONMENT) as running:
            yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """A headless Chromium."""
    expect.set_options(timeout=_PATIENCE_MS)
    async with launched() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def product(stack: Stack) -> AsyncIterator[Product]:
    """The same account, by HTTP: empty, the studio quick and kind."""
    await stack.answering()
    await _may_show_media(stack)
    async with Product.opened(stack) as opened:
        await _empty(opened)
        await opened.behave()
        yield opened


async def _may_show_media(stack: Stack) -> None:
    """Returns when pages may load from S3: the test before may have changed where that is."""
    async with aiohttp.ClientSession() as session, asyncio.timeout(20):
        while True:
            async with session.get(f"{stack.ready.bff_url}/") as page:
                if stack.ready.s3["endpoint"] in page.headers["Content-Security-Policy"]:
                    return
            await asyncio.sleep(0.1)


@pytest_asyncio.fixture(loop_scope="session")
async def visit(
    request: pytest.FixtureRequest, stack: Stack, browser: Browser, product: Product
) -> AsyncIterator[Visit]:
    """Lets people come to the web UI. What their browsers complain about fails the test."""
    async with AsyncExitStack() as stay:
        visitors: list[Visitor] = []

        async def arrive(*, logged_in: bool = True, **options: Any) -> Visitor:
            visitor = await stay.enter_async_context(
                Visitor.arriving(browser, stack.ready, **options)
            )
            visitor.page.set_default_timeout(_PATIENCE_MS)
            visitors.append(visitor)
            if logged_in:
                await visitor.have_session()
            return visitor

        yield arrive
        problems = [problem for visitor in visitors for problem in visitor.problems]
        if problems or request.node.stash.get(_FAILED, False):
            for number, visitor in enumerate(visitors):
                await visitor.keep_trace(f"{request.node.name}-{number}")
        assert not problems


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tells the fixtures whether their test has failed."""
    report = yield
    item.stash[_FAILED] = item.stash.get(_FAILED, False) or report.failed
    return report


async def _empty(product: Product) -> None:
    status, page = await product.call("GET", "/generations?page_size=100")
    assert status == 200, page
    for record in page["items"]:
        if record["status"] in {"pending", "generating"}:
            await product.call("POST", f"/generations/{record['id']}/cancel")
        await product.delete(record["id"])

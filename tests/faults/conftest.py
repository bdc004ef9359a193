"""One product for all tests of this folder; each leaves it whole and empty."""

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from deploy.local.stack import Stack
from tests.faults.product import IMPATIENT, Product


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stack() -> AsyncIterator[Stack]:
    """Everything, as `make run` starts it, on free ports."""
    with tempfile.TemporaryDirectory(prefix="reelgate-faults-") as home:
        ports = {"REELGATE_BFF_PORT": "0", "REELGATE_GATEWAY_PORT": "0"}
        async with Stack(Path(home), env={**IMPATIENT, **ports}) as running:
            yield running


@pytest_asyncio.fixture(loop_scope="session")
async def product(stack: Stack) -> AsyncIterator[Product]:
    """A logged-in user; everything answers."""
    await stack.answering()
    async with Product.opened(stack) as opened:
        await opened.behave()
        yield opened
        await stack.answering()
        await opened.behave()

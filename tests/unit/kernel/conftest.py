"""Tests of what goes out run on both event loops: the services' own, and the one of everything else."""

import asyncio
from collections.abc import Callable

import pytest
import uvloop

Loops = dict[str, Callable[[], asyncio.AbstractEventLoop]]


def pytest_asyncio_loop_factories(item: pytest.Item) -> Loops:
    """Asked by pytest-asyncio for each test."""
    loops: Loops = {"asyncio": asyncio.new_event_loop}
    if item.path.name.startswith("test_egress_"):
        loops["uvloop"] = uvloop.new_event_loop
    return loops

"""A studio for each test; rendered clips shared by all."""

import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from services.studio.order import Order
from tests.unit.studio.upstream import Upstream

Renderer = Callable[[Order], Path]


@pytest.fixture
async def upstream(tmp_path: Path) -> AsyncIterator[Upstream]:
    """A running studio over an empty directory."""
    async with Upstream(tmp_path / "studio") as running:
        yield running


def render(order: Order) -> list[str]:
    """Runs the renderer as the studio does; gives the lines it wrote."""
    with subprocess.Popen(
        [sys.executable, "-m", "services.studio.render"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(order.to_line().decode())
        process.stdin.flush()
        lines = process.stdout.readlines()
        assert process.wait(60) == 0
    return lines


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds at 320x180, rendered once."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    render(Order("video", "A lighthouse by the sea", 320, 180, str(path), seconds=2.0))
    return path

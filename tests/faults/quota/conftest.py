"""Quota processes for campaigns: two replicas on one database."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import grpc
import pytest

from services.kernel.ids import new_id
from services.kernel.migrations import migrate
from services.kernel.postgres import Pool, open_pool
from services.quota.__main__ import MIGRATIONS
from tests.contract.quota.running import Caller, Callers, Keys
from tests.integration.quota.books import drift
from tests.integration.quota.conftest import keys
from tests.integration.quota.process import Process

__all__ = ["keys"]


@dataclass(frozen=True, slots=True)
class Replicas:
    """Two processes and what they write to. Administrators ask the first."""

    callers: Sequence[Callers]
    logs: Sequence[Path]
    pool: Pool

    @property
    def admin(self) -> Caller:
        """An administrator."""
        return self.callers[0].admin

    def gateways(self) -> tuple[UUID, Sequence[Caller]]:
        """A new user, and the gateway acting for him at each replica."""
        user = new_id()
        return user, [callers.gateway_for(user) for callers in self.callers]

    async def add_up(self) -> None:
        """Every figure of every user is the sum of what it stands for, and nothing unforeseen was logged."""
        assert await drift(self.pool) == []
        for log in self.logs:
            assert "Traceback" not in log.read_text()
            assert "unexpected" not in log.read_text()


@pytest.fixture
async def replicas(database: str, keys: Keys, tmp_path: Path) -> AsyncIterator[Replicas]:
    await migrate(database, MIGRATIONS)
    async with AsyncExitStack() as stack:
        processes = [Process(database, keys, tmp_path / f"{number}.log") for number in range(2)]
        for process in processes:
            stack.enter_context(process.running())
        for process in processes:
            await process.until_ready()
        channels = [
            await stack.enter_async_context(grpc.aio.insecure_channel(process.address))
            for process in processes
        ]
        yield Replicas(
            [Callers(channel, keys.signer) for channel in channels],
            [process.log for process in processes],
            await stack.enter_async_context(open_pool(database)),
        )

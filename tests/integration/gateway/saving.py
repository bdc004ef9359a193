"""Upstream results and what saving them needs: real rows, real quota, a shelf for storage, and accidents."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID, uuid5

from services.gateway.catalogue import Catalogue
from services.gateway.clients import IngestStep, OwnTokens, QuotaClient, StorageClient, Stored
from services.gateway.generations import Generation, Lease
from services.gateway.offer import Offer
from services.gateway.prices import Prices
from services.gateway.providers.port import Result, Source, TaskState
from services.gateway.saves import Saves
from services.gateway.service import Generations
from services.gateway.store.generations import GenerationStore
from services.gateway.store.leases import LeaseStore
from services.gateway.store.saves import SaveStore
from services.gateway.watch import WatchHub
from services.gateway.worker.conduct import Conductor
from services.gateway.worker.workplace import Patience, Workplace
from services.kernel.errors import FailedPrecondition, ReelgateError, Unavailable
from services.kernel.postgres import Pool, open_pool
from services.kernel.runtime import background
from tests.contract.quota.running import Caller, Keys, quota_server
from tests.integration.gateway.conftest import add_account, add_user, wanted
from tests.integration.gateway.test_conduct import Accounts, Scripted

SIZES = (100, 200, 400)
RESERVED = 1000
LINK_ENDS = timedelta(hours=1)


class Died(BaseException):
    """The process is gone: nothing of it catches this."""


async def die() -> None:
    """What a kill does."""
    raise Died


@dataclass
class Accidents:
    """Something that happens at one of the outward calls: before one (0, 2, …) or after it (1, 3, …)."""

    at: int = -1
    calls: int = 0
    what: Callable[[], Awaitable[None]] = die

    async def pass_by(self) -> None:
        self.calls += 1
        if self.calls - 1 == self.at:
            await self.what()

    def plan(self, at: int, what: Callable[[], Awaitable[None]] = die) -> None:
        self.at, self.calls, self.what = at, 0, what

    @property
    def happened(self) -> bool:
        return 0 <= self.at < self.calls


@dataclass
class Shelf:
    """Storage, as far as runs go: tokens, tombstones, one object for each medium."""

    accidents: Accidents
    objects: dict[UUID, Stored] = field(default_factory=dict)
    runs: dict[UUID, int] = field(default_factory=dict)
    tombstoned: set[UUID] = field(default_factory=set)
    errors: dict[int, ReelgateError] = field(default_factory=dict)
    ingests: list[int] = field(default_factory=list)
    hold: asyncio.Event | None = None
    tier: str = "s3"

    def _see(self, generation: Generation, token: int) -> None:
        if token < self.runs.get(generation.id, 0):
            raise FailedPrecondition("stale", reason="STALE_LEASE")
        self.runs[generation.id] = token

    async def ingest(
        self, generation: Generation, token: int, index: int, source: Source
    ) -> AsyncGenerator[IngestStep]:
        await self.accidents.pass_by()
        self._see(generation, token)
        if generation.id in self.tombstoned:
            raise FailedPrecondition("gone", reason="TOMBSTONED")
        made = uuid5(generation.id, str(index))
        if made not in self.objects:
            self.ingests.append(index)
            yield IngestStep(1, SIZES[index], None)
            if self.hold is not None:
                await self.hold.wait()
            if index in self.errors:
                raise self.errors[index]
            self._see(generation, token)
            if generation.id in self.tombstoned:
                raise FailedPrecondition("gone", reason="TOMBSTONED")
            self.objects[made] = Stored(
                made, cast("Any", self.tier), "video/mp4", SIZES[index], 640, 360, 1.0
            )
        await self.accidents.pass_by()
        yield IngestStep(SIZES[index], SIZES[index], self.objects[made])

    async def delete(self, owner: UUID, object_ids: list[UUID]) -> None:
        await self.accidents.pass_by()
        for object_id in object_ids:
            self.objects.pop(object_id, None)
        await self.accidents.pass_by()

    async def tombstone(self, generation: Generation, token: int) -> None:
        self._see(generation, token)
        self.tombstoned.add(generation.id)
        for index in range(len(SIZES)):
            self.objects.pop(uuid5(generation.id, str(index)), None)

    async def links(self, owner: UUID, object_ids: list[UUID]) -> dict[UUID, Any]:
        return {}


class Books(QuotaClient):
    """The real quota service, reached or not."""

    accidents: Accidents

    async def admit_save(self, generation: Generation, token: int, reserve_bytes: int) -> None:
        await self.accidents.pass_by()
        await super().admit_save(generation, token, reserve_bytes)
        await self.accidents.pass_by()

    async def settle(
        self, generation: Generation, token: int, stored_bytes: int, *, kept: bool
    ) -> None:
        await self.accidents.pass_by()
        await super().settle(generation, token, stored_bytes, kept=kept)
        await self.accidents.pass_by()


@dataclass
class Scene:
    """One user with a gateway, its worker, storage and quota."""

    pool: Pool
    books_pool: Pool
    store: GenerationStore
    leases: LeaseStore
    save_store: SaveStore
    saves: Saves
    generations: Generations
    owner: UUID
    provider: Scripted
    storage: Shelf
    quota: Books
    user: Caller
    admin: Caller
    conductor: Conductor
    accidents: Accidents

    async def upstream_result(self, count: int = len(SIZES), **changes: object) -> UUID:
        """Completed while no tier took anything; its link lives for an hour."""
        new = wanted(self.owner, count=count, reserved_bytes=RESERVED, **changes)
        assert await self.store.create(new, None) is None
        await self.quota.admit(new.id, 0, self.owner, new.reserved_bytes, new.credits)
        await self.store.admitted(new.id, self.owner)
        ends = datetime.now(UTC) + LINK_ENDS
        results = tuple(Result(f"http://upstream.test/{n}", ends) for n in range(count))
        self.provider.states = [TaskState("completed", 100, results)]
        self.storage.errors = {0: Unavailable("no tier", reason="NO_TIER")}
        await self.look()
        self.storage.errors = {}
        self.storage.ingests.clear()
        ended = await self.get(new.id)
        assert (ended.status, ended.storage_type, ended.can_save) == ("completed", "upstream", True)
        return new.id

    async def look(self) -> None:
        """One look of a worker at everything that is due; leases of those who died have run out."""
        async with self.pool.connection() as connection:
            await connection.execute(
                "UPDATE generations SET next_run_at = now(), lease_until = NULL WHERE next_run_at IS NOT NULL"
            )
        for lease in await self.leases.claim(10, 60):
            await self.conductor.conduct(lease)

    async def look_until_idle(self) -> None:
        """Until nothing is owed."""
        for _ in range(8):
            await self.look()
            async with self.pool.connection() as connection:
                cursor = await connection.execute(
                    "SELECT count(*) FROM generations WHERE next_run_at IS NOT NULL"
                )
                if await cursor.fetchone() == (0,):
                    return
        raise AssertionError("something is owed for ever")

    async def claim(self) -> Lease:
        """A lease on the one that is due."""
        (lease,) = await self.leases.claim(10, 60)
        return lease

    async def get(self, made: UUID) -> Generation:
        """The row."""
        return await self.store.get(made, self.owner)

    async def bytes(self) -> tuple[int, int]:
        """Used and reserved."""
        quota = await self.user.get()
        return quota.used_bytes, quota.reserved_bytes

    async def limit(self, quota_bytes: int) -> None:
        """Sets the user's quota; -1 for none."""
        await self.admin.limit_user(self.owner, quota_bytes)

    async def execute(self, sql: str, *values: object) -> None:
        """What no call does: time that passes."""
        async with self.pool.connection() as connection:
            await connection.execute(cast("Any", sql), values)


@asynccontextmanager
async def staged(database: str, books: str, keys: Keys) -> AsyncIterator[Scene]:
    """A scene on two migrated databases, with an account to generate at."""
    async with (
        open_pool(database, max_size=12) as pool,
        open_pool(books, max_size=4) as books_pool,
        quota_server(books, keys) as callers,
        background() as work,
    ):
        accidents, owner = Accidents(), await add_user(pool)
        await add_account(pool)
        store, leases, saves = GenerationStore(pool), LeaseStore(pool), SaveStore(pool)
        shelf, provider = Shelf(accidents), Scripted()
        quota = Books(callers._channel, OwnTokens(keys.signer))
        quota.accidents = accidents
        storage = cast("StorageClient", shelf)
        catalogue, accounts = Catalogue.default(), Accounts(pool)
        workplace = Workplace(
            store=leases,
            saves=saves,
            accounts=accounts,
            providers={"scripted": provider},
            storage=storage,
            quota=quota,
            models={model.id: model for model in catalogue},
            patience=Patience(poll_seconds=0.01, lost_after_seconds=900),
        )
        hub = WatchHub(store)
        work.start(hub.listen(database))
        offer, prices = Offer(catalogue, accounts), Prices(quota)
        generations = Generations(store, offer, catalogue, storage, quota, prices)
        yield Scene(
            pool=pool,
            books_pool=books_pool,
            store=store,
            leases=leases,
            save_store=saves,
            saves=Saves(generations, saves, hub),
            generations=generations,
            owner=owner,
            provider=provider,
            storage=shelf,
            quota=quota,
            user=callers.person(owner),
            admin=callers.admin,
            conductor=Conductor(workplace),
            accidents=accidents,
        )

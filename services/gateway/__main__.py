"""`python -m services.gateway api|edge|worker|migrate`: wires one of the gateway's processes together."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.gateway.catalogue import Catalogue
from services.gateway.clients import (
    QUOTA_CONTRACTS,
    STORAGE_CONTRACT,
    OwnTokens,
    QuotaClient,
    StorageClient,
)
from services.gateway.delivery import UpstreamReader
from services.gateway.edge import app as edge_app
from services.gateway.identity import Identity
from services.gateway.offer import Offer
from services.gateway.prices import Prices
from services.gateway.providers import DIALECTS
from services.gateway.providers.port import Provider
from services.gateway.reconciliation import Reconciliation
from services.gateway.saves import Saves
from services.gateway.seed import seed, seed_credits
from services.gateway.servers import (
    api_keys,
    generations,
    identity,
    later,
    models,
    reconciliation,
)
from services.gateway.service import Generations
from services.gateway.settings import ApiSettings, EdgeSettings, GatewaySettings, WorkerSettings
from services.gateway.store.accounts import AccountStore
from services.gateway.store.drifts import DriftStore
from services.gateway.store.generations import GenerationStore
from services.gateway.store.leases import LeaseStore
from services.gateway.store.memberships import MembershipStore
from services.gateway.store.people import PeopleStore
from services.gateway.store.saves import SaveStore
from services.gateway.store.timers import TimerStore
from services.gateway.watch import WatchHub
from services.gateway.worker.conduct import Conductor
from services.gateway.worker.housekeeping import tidy_up_for_ever
from services.gateway.worker.loop import Worker
from services.gateway.worker.memberships import Memberships
from services.gateway.worker.reconciling import DailyRound
from services.gateway.worker.workplace import Patience, Workplace
from services.kernel.egress import Egress, Policy, parse_origins
from services.kernel.grpc_client import make_channel
from services.kernel.grpc_server import make_server, serving
from services.kernel.migrations import migrate
from services.kernel.postgres import Pool, open_pool
from services.kernel.runtime import Runtime, background, run
from services.kernel.sealing import KeyRing
from services.kernel.settings import load, refuse
from services.kernel.tokens import Signer, Verifier

_MIGRATIONS: Final = Path(__file__).with_name("migrations")
_PUBLIC_METHODS: Final = (*identity.PUBLIC_METHODS, *models.PUBLIC_METHODS)
_DRAIN_SECONDS: Final = 20.0


@dataclass(frozen=True)
class Rooms:
    """What every process of the gateway has open."""

    pool: Pool
    signer: Signer
    accounts: AccountStore
    storage: StorageClient
    quota: QuotaClient
    egress: Egress
    providers: dict[str, Provider]
    catalogue: Catalogue


@asynccontextmanager
async def _open(settings: GatewaySettings) -> AsyncIterator[Rooms]:
    if settings.migrate_on_start:
        await migrate(settings.listen_url, _MIGRATIONS)
    async with AsyncExitStack() as stack:
        signer = Signer(settings.signing_key_file.read_text())
        tokens = OwnTokens(signer)
        pool = await stack.enter_async_context(open_pool(settings.database_url.get_secret_value()))
        # Kept connections could break just as a submit is sent, and nobody could tell whether it arrived.
        policy = Policy(private=parse_origins(settings.private_origins))
        egress = await stack.enter_async_context(Egress(policy, keepalive_seconds=0))
        storage = await stack.enter_async_context(
            make_channel(settings.storage_address, STORAGE_CONTRACT)
        )
        quota = await stack.enter_async_context(
            make_channel(settings.quota_address, *QUOTA_CONTRACTS)
        )
        yield Rooms(
            pool=pool,
            signer=signer,
            accounts=AccountStore(pool, KeyRing(settings.encryption_keys.get_secret_value())),
            storage=StorageClient(storage, tokens),
            quota=QuotaClient(quota, tokens),
            egress=egress,
            providers={name: dialect(egress) for name, dialect in DIALECTS.items()},
            catalogue=Catalogue.default(),
        )


async def _api(settings: ApiSettings, runtime: Runtime) -> None:
    async with _open(settings) as rooms, background() as work:
        people = PeopleStore(rooms.pool)
        await seed(settings, people, rooms.accounts)
        work.start(seed_credits(settings, people, rooms.quota))
        store = GenerationStore(rooms.pool)
        hub = WatchHub(store)
        work.start(hub.listen(settings.listen_url))
        offer = Offer(rooms.catalogue, rooms.accounts)
        prices = Prices(rooms.quota)
        service = Generations(store, offer, rooms.catalogue, rooms.storage, rooms.quota, prices)
        saves = Saves(service, SaveStore(rooms.pool), hub)
        reader = UpstreamReader(store, rooms.accounts, rooms.providers, rooms.egress)
        servicer = generations.GenerationServicer(service, saves, hub, reader)
        who = Identity(people, rooms.signer, registration_enabled=settings.registration_enabled)
        server = make_server(Verifier(settings.jwks_file, "gateway"), _PUBLIC_METHODS)
        names = [*generations.add_to(server, servicer)]
        names += identity.add_to(server, who)
        names += api_keys.add_to(server, who)
        names += models.add_to(
            server,
            rooms.catalogue,
            rooms.accounts,
            prices,
            registration_enabled=settings.registration_enabled,
        )
        names += reconciliation.add_to(server, _reconciliation(rooms))
        names += later.add_to(server)
        async with serving(
            server,
            settings.listen,
            names,
            drain_seconds=_DRAIN_SECONDS,
            with_reflection=settings.reflection,
        ):
            await runtime.ready_until_stopped()
            servicer.stopping.set()


async def _edge(settings: EdgeSettings, runtime: Runtime) -> None:
    async with _open(settings) as rooms:
        who = Identity(PeopleStore(rooms.pool), rooms.signer, registration_enabled=False)
        app = edge_app.make_app(who, rooms.catalogue, rooms.accounts)
        async with edge_app.serving(settings.listen, app):
            await runtime.ready_until_stopped()


async def _worker(settings: WorkerSettings, runtime: Runtime) -> None:
    async with _open(settings) as rooms, background() as work:
        store = LeaseStore(rooms.pool)
        workplace = Workplace(
            store=store,
            saves=SaveStore(rooms.pool),
            accounts=rooms.accounts,
            providers=rooms.providers,
            storage=rooms.storage,
            quota=rooms.quota,
            models={model.id: model for model in rooms.catalogue},
            patience=Patience(settings.poll_seconds, settings.lost_after_seconds),
        )
        conductor = Conductor(workplace)
        worker = Worker(
            store, conductor, lease_seconds=settings.lease_seconds, capacity=settings.capacity
        )
        work.start(worker.listen(settings.listen_url))
        work.start(tidy_up_for_ever(GenerationStore(rooms.pool), PeopleStore(rooms.pool)))
        memberships = Memberships(MembershipStore(rooms.pool), rooms.quota)
        work.start(memberships.tell_for_ever(settings.listen_url))
        daily = DailyRound(
            _reconciliation(rooms),
            DriftStore(rooms.pool),
            TimerStore(rooms.pool),
            interval_seconds=settings.reconcile_seconds,
        )
        work.start(daily.go_round_for_ever())
        working = asyncio.create_task(worker.run(runtime.stopping))
        waiting = asyncio.create_task(runtime.ready_until_stopped())
        await asyncio.wait((working, waiting), return_when=asyncio.FIRST_COMPLETED)
        await working
        await waiting
        await conductor.late_answers()


def _reconciliation(rooms: Rooms) -> Reconciliation:
    people, drifts = PeopleStore(rooms.pool), DriftStore(rooms.pool)
    return Reconciliation(people, rooms.storage, rooms.quota, drifts)


def _run(
    name: str, settings: GatewaySettings, process: Callable[[Runtime], Awaitable[None]]
) -> None:
    try:
        KeyRing(settings.encryption_keys.get_secret_value())
        Signer(settings.signing_key_file.read_text())
        parse_origins(settings.private_origins)
    except (ValueError, OSError) as error:
        refuse(f"a setting of {name} can not be used: {error}")
    run(
        name,
        process,
        admin_listen=settings.admin_listen,
        log_level=settings.log_level,
        log_format=settings.log_format,
    )


def main(arguments: list[str]) -> None:
    """Starts the process that is named."""
    match arguments:
        case ["api"]:
            api = load(ApiSettings)
            _run("gateway", api, lambda runtime: _api(api, runtime))
        case ["edge"]:
            edge = load(EdgeSettings)
            _run("gateway_edge", edge, lambda runtime: _edge(edge, runtime))
        case ["worker"]:
            worker = load(WorkerSettings)
            _run("gateway_worker", worker, lambda runtime: _worker(worker, runtime))
        case ["migrate"]:
            asyncio.run(migrate(load(GatewaySettings).listen_url, _MIGRATIONS))
        case _:
            refuse("usage: python -m services.gateway api|edge|worker|migrate")


if __name__ == "__main__":
    main(sys.argv[1:])

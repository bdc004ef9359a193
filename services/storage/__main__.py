"""`python -m services.storage` serves; `python -m services.storage migrate` only brings the database up to date."""

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from services.kernel.egress import Egress, Policy
from services.kernel.grpc_server import make_server, serving
from services.kernel.migrations import migrate
from services.kernel.postgres import open_pool
from services.kernel.runtime import Runtime, background, run
from services.kernel.settings import load
from services.kernel.tokens import Verifier
from services.storage.blobs_local import LocalBlobs
from services.storage.blobs_s3 import open_s3
from services.storage.budget import Budget
from services.storage.cleanup import Cleanup
from services.storage.heap import give_large_blocks_back
from services.storage.keeper import Keeper
from services.storage.pipe import Pipe
from services.storage.running import Running
from services.storage.server.servicers import SERVICES, add_servicers
from services.storage.service import StorageService
from services.storage.settings import StorageSettings
from services.storage.source_url import Downloads
from services.storage.store.removals import RemovalStore
from services.storage.store.transfers import Store
from services.storage.tiers import Tiers

MIGRATIONS: Final = Path(__file__).with_name("migrations")
_DIGEST_THREADS: Final = 4
# It tells nothing that a page before log-in does not need for its content security policy.
_PUBLIC_METHODS: Final = ("/reelgate.storage.v1.StorageService/GetStatus",)


async def _migrate(settings: StorageSettings) -> None:
    await migrate((settings.direct_url or settings.database_url).get_secret_value(), MIGRATIONS)


async def _serve(settings: StorageSettings, runtime: Runtime) -> None:
    if settings.migrate_on_start:
        await _migrate(settings)
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(open_pool(settings.database_url.get_secret_value()))
        egress = await stack.enter_async_context(Egress(Policy(private=settings.trusted_origins)))
        target = settings.s3_target()
        s3 = await stack.enter_async_context(open_s3(target, egress)) if target else None
        local = (
            LocalBlobs(settings.local_dir, min_free_bytes=settings.local_min_free_bytes)
            if settings.local_enabled and settings.local_dir
            else None
        )
        threads = stack.enter_context(ThreadPoolExecutor(_DIGEST_THREADS, "digest"))
        store = Store(pool, lease_seconds=settings.transfer_lease_seconds)
        removals = RemovalStore(pool)
        tiers = Tiers(s3, local, store)
        running = Running(store, renew_seconds=settings.transfer_lease_seconds / 5)
        cleanup = Cleanup(
            store, removals, tiers, running, interval_seconds=settings.transfer_lease_seconds / 3
        )
        budget = Budget(settings.buffer_bytes, settings.part_bytes)
        pipe = Pipe(budget, threads, parts_in_flight=settings.parts_in_flight)
        service = StorageService(
            store,
            removals,
            tiers,
            Keeper(store, tiers, pipe, running, cleanup),
            Downloads(
                egress,
                idle_seconds=settings.source_idle_seconds,
                total_seconds=settings.source_total_seconds,
            ),
            running,
            cleanup,
            max_object_bytes=settings.max_object_bytes,
            spool=settings.local_dir / ".spool" if settings.local_dir else None,
        )
        work = await stack.enter_async_context(background())
        await tiers.look()
        work.start(tiers.watch())
        work.start(running.keep_alive())
        work.start(cleanup.run())
        # Behind the server's drain: what it cut off has to clean up behind itself.
        stack.push_async_callback(running.stop_all)
        server = make_server(Verifier(settings.jwks_file, "storage"), _PUBLIC_METHODS)
        add_servicers(server, service)
        async with serving(
            server,
            settings.listen,
            SERVICES,
            drain_seconds=settings.drain_seconds,
            with_reflection=settings.reflection,
        ):
            await runtime.ready_until_stopped()


def main() -> None:
    """Runs what the command line names."""
    settings = load(StorageSettings)
    if sys.argv[1:] == ["migrate"]:
        asyncio.run(_migrate(settings))
    elif sys.argv[1:]:
        print("usage: python -m services.storage [migrate]", file=sys.stderr)
        sys.exit(64)
    else:
        give_large_blocks_back()
        run(
            "storage",
            lambda runtime: _serve(settings, runtime),
            admin_listen=settings.admin_listen,
            log_level=settings.log_level,
            log_format=settings.log_format,
        )


if __name__ == "__main__":
    main()

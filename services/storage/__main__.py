"""`python -m services.storage` serves; `python -m services.storage migrate` only brings the database up to date."""

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Final

from services.kernel.egress import Egress, Policy
from services.kernel.grpc_server import make_server, serving
from services.kernel.migrations import migrate
from services.kernel.postgres import Pool, open_pool
from services.kernel.runtime import Runtime, background, run
from services.kernel.settings import load
from services.kernel.tokens import Verifier
from services.storage.cleanup import Cleanup
from services.storage.configuration.in_force import S3InForce
from services.storage.configuration.probe import probe_what_is_new
from services.storage.configuration.service import S3SettingsService
from services.storage.configuration.switch import S3Switch
from services.storage.costs import Ledger
from services.storage.heap import keep_heap_small
from services.storage.local.blobs import SPOOL, LocalBlobs
from services.storage.metering import MeterReader
from services.storage.reports import Reports
from services.storage.server.servicers import SERVICES, add_servicers
from services.storage.service import StorageService
from services.storage.settings import StorageSettings
from services.storage.sources.download import Patience
from services.storage.sources.url import Downloads
from services.storage.store.moves import MoveStore
from services.storage.store.presigned import PresignedStore
from services.storage.store.removals import RemovalStore
from services.storage.store.settings import SettingsStore
from services.storage.store.sweeps import SweepStore
from services.storage.store.thumbnails import ThumbnailStore
from services.storage.store.transfers import Store
from services.storage.store.upload_log import UploadLog
from services.storage.store.usage import UsageStore
from services.storage.sweeping.sweep import Sweeper
from services.storage.sweeping.tier import SweepRules
from services.storage.thumbnails.process import ThumbnailProcess
from services.storage.thumbnails.worker import Thumbnails
from services.storage.tiers import Tiers
from services.storage.transfer.budget import Budget
from services.storage.transfer.keeper import Keeper
from services.storage.transfer.moving import Mover
from services.storage.transfer.pipe import Pipe
from services.storage.transfer.presigned import PresignedUploads
from services.storage.transfer.running import Running

MIGRATIONS: Final = Path(__file__).with_name("migrations")
_DIGEST_THREADS: Final = 4
# It tells nothing that a page before log-in does not need for its content security policy.
_PUBLIC_METHODS: Final = ("/reelgate.storage.v1.StorageService/GetStatus",)


async def _migrate(settings: StorageSettings) -> None:
    await migrate(settings.listen_url, MIGRATIONS)


def _patience(settings: StorageSettings) -> Patience:
    return Patience(
        idle_seconds=settings.source_idle_seconds,
        total_seconds=settings.source_total_seconds,
        min_bytes_per_second=settings.source_min_bytes_per_second,
        window_seconds=settings.source_window_seconds,
    )


async def _serve(settings: StorageSettings, runtime: Runtime) -> None:
    if settings.migrate_on_start:
        await _migrate(settings)
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(open_pool(settings.database_url.get_secret_value()))
        meter = MeterReader(UsageStore(pool))
        stack.push_async_callback(meter.flush)
        egress = await stack.enter_async_context(Egress(Policy(private=settings.trusted_origins)))
        # The bytes of S3 go another way out: where operators say, on every port, and not where sources do.
        s3_egress = await stack.enter_async_context(
            Egress(Policy(private=settings.s3_trusted_origins, ports=None))
        )
        local = (
            LocalBlobs(settings.local_dir, min_free_bytes=settings.local_min_free_bytes)
            if settings.local_enabled and settings.local_dir
            else None
        )
        threads = stack.enter_context(ThreadPoolExecutor(_DIGEST_THREADS, "digest"))
        store = Store(pool, lease_seconds=settings.transfer_lease_seconds)
        removals = RemovalStore(pool)
        tiers = Tiers(None, local, store)
        switch = await stack.enter_async_context(S3Switch(tiers, s3_egress))
        settings_store = SettingsStore(pool)
        in_force = S3InForce(
            settings.s3_settings(),
            settings.s3_trusted_origins,
            settings.key_ring,
            settings_store,
            switch,
        )
        await in_force.read()
        running = Running(store, renew_seconds=settings.transfer_lease_seconds / 5)
        offers = PresignedStore(pool)
        cleanup = Cleanup(
            store,
            removals,
            tiers,
            running,
            offers,
            interval_seconds=settings.transfer_lease_seconds / 3,
        )
        thumbnails = Thumbnails(ThumbnailStore(pool), tiers, cleanup, ThumbnailProcess())
        budget = Budget(settings.buffer_bytes, settings.part_bytes)
        pipe = Pipe(budget, threads, parts_in_flight=settings.parts_in_flight)
        keeper = Keeper(store, tiers, pipe, running, cleanup, UploadLog(pool))
        moves = MoveStore(pool, lease_seconds=settings.transfer_lease_seconds)
        service = StorageService(
            store,
            removals,
            tiers,
            keeper,
            Downloads(egress, _patience(settings)),
            running,
            cleanup,
            thumbnails,
            Mover(store, moves, tiers, pipe, running, cleanup),
            PresignedUploads(store, offers, tiers, keeper, max_bytes=settings.max_input_bytes),
            max_object_bytes=settings.max_object_bytes,
            spool=settings.local_dir / SPOOL if settings.local_dir else None,
        )
        s3_settings = S3SettingsService(
            in_force,
            settings_store,
            tiers,
            settings.key_ring,
            s3_egress,
            page_origin=settings.page_origin,
        )
        work = await stack.enter_async_context(background())
        await tiers.look()
        work.start(tiers.watch())
        work.start(in_force.follow(settings.listen_url))
        work.start(probe_what_is_new(in_force, settings_store, tiers, s3_egress))
        work.start(running.keep_alive())
        work.start(cleanup.run())
        work.start(meter.run())
        if settings.thumbnails:
            work.start(thumbnails.run())
        # Behind the server's drain: what it cut off has to clean up behind itself.
        stack.push_async_callback(running.stop_all)
        server = make_server(Verifier(settings.jwks_file, "storage"), _PUBLIC_METHODS)
        reports = _reports(settings, pool, tiers, cleanup, meter, runtime)
        add_servicers(server, service, s3_settings, reports)
        async with serving(
            server,
            settings.listen,
            SERVICES,
            drain_seconds=settings.drain_seconds,
            with_reflection=settings.reflection,
        ):
            await runtime.ready_until_stopped()


def _reports(
    settings: StorageSettings,
    pool: Pool,
    tiers: Tiers,
    cleanup: Cleanup,
    meter: MeterReader,
    runtime: Runtime,
) -> Reports:
    rules = SweepRules(
        orphan_age=timedelta(hours=settings.orphan_age_hours),
        orphan_keep=timedelta(days=settings.orphan_keep_days),
        most_keys=settings.sweep_most_keys,
        most_percent=settings.sweep_most_percent,
    )
    sweeper = Sweeper(
        SweepStore(pool, settings.listen_url), tiers, cleanup, rules, runtime.stopping.is_set
    )
    return Reports(UploadLog(pool), Ledger(UsageStore(pool), meter), sweeper)


def main() -> None:
    """Runs what the command line names."""
    settings = load(StorageSettings)
    if sys.argv[1:] == ["migrate"]:
        asyncio.run(_migrate(settings))
    elif sys.argv[1:]:
        print("usage: python -m services.storage [migrate]", file=sys.stderr)
        sys.exit(64)
    else:
        keep_heap_small()
        run(
            "storage",
            lambda runtime: _serve(settings, runtime),
            admin_listen=settings.admin_listen,
            log_level=settings.log_level,
            log_format=settings.log_format,
        )


if __name__ == "__main__":
    main()

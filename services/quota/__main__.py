"""`python -m services.quota` serves; with `migrate` it only brings the database up to date."""

import asyncio
import sys
from pathlib import Path
from typing import Final

from services.kernel.errors import ReelgateError
from services.kernel.grpc_server import make_server, serving
from services.kernel.logs import configure
from services.kernel.migrations import MigrationError, migrate
from services.kernel.postgres import open_pool
from services.kernel.runtime import Runtime, background, run
from services.kernel.settings import load, refuse
from services.kernel.tokens import Verifier
from services.quota.backstop import watch
from services.quota.books import Books
from services.quota.servers import credits as credit_server
from services.quota.servers import quotas as quota_server
from services.quota.settings import QuotaSettings

MIGRATIONS: Final = Path(__file__).with_name("migrations")
_AUDIENCE: Final = "quota"
_DRAIN_SECONDS: Final = 20.0


async def serve(settings: QuotaSettings, runtime: Runtime) -> None:
    """Serves until the process is told to stop."""
    verifier = Verifier(settings.jwks_file, _AUDIENCE)
    if settings.migrate_on_start:
        await migrate(settings.migration_url, MIGRATIONS)
    url = settings.database_url.get_secret_value()
    async with (
        open_pool(url, min_size=2, max_size=settings.pool_size) as pool,
        background() as work,
    ):
        books = Books.on(pool, work, settings.default_bytes, settings.new_user_credits)
        server = make_server(verifier)
        names = (*quota_server.add_to(server, books), *credit_server.add_to(server, books))
        async with serving(
            server,
            settings.listen,
            names,
            drain_seconds=_DRAIN_SECONDS,
            with_reflection=settings.reflection,
        ):
            work.start(watch(books.runs, books.ledger))
            await runtime.ready_until_stopped()


def main(arguments: list[str]) -> None:
    """Runs the command."""
    if arguments not in ([], ["migrate"]):
        refuse(
            f"python -m services.quota takes no argument or `migrate`, not {' '.join(arguments)}"
        )
    settings = load(QuotaSettings)
    if arguments == ["migrate"]:
        configure("quota", level=settings.log_level, form=settings.log_format)
        try:
            asyncio.run(migrate(settings.migration_url, MIGRATIONS))
        except (MigrationError, ReelgateError) as error:
            sys.exit(f"reelgate: {error}")
        return
    run(
        "quota",
        lambda runtime: serve(settings, runtime),
        admin_listen=settings.admin_listen,
        log_level=settings.log_level,
        log_format=settings.log_format,
    )


if __name__ == "__main__":
    main(sys.argv[1:])

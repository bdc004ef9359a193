"""The local stack: everything of Reelgate, or a part of it, started, supervised and stopped together."""

import asyncio
import signal
from collections.abc import Callable, Collection, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.local import addresses, databases, lock, plan, secrets, settings
from deploy.local.environments import Environments
from deploy.local.postgres import Postgres
from deploy.local.ready import FILE_NAME, Ready
from deploy.local.s3 import S3
from deploy.local.supervisor import Supervisor

_LOG_BYTES = 20 * 1024 * 1024


class Stack:
    """An async context manager: entered, its parts answer and ready.json is written; left, all are gone.

    ``home`` and the variables in ``env`` win over the process environment and `.env`. ``only`` names the
    parts to run (all of ``plan.NAMES`` without it); the others have addresses all the same, so that a test
    can put something else there. ``report`` gets one line for each thing that happens. Raises StartError
    when the stack cannot be had.
    """

    def __init__(
        self,
        home: Path | None = None,
        *,
        only: Collection[str] | None = None,
        env: Mapping[str, str] | None = None,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.settings = settings.read(home, env)
        self.home = self.settings.home
        self._report = report
        self._names = self._wanted(plan.NAMES if only is None else only)
        self._exit = AsyncExitStack()
        self._supervisor: Supervisor | None = None
        self._ready: Ready | None = None
        self._announced = False

    @property
    def ready(self) -> Ready:
        """Addresses and secrets of the running stack, with the process numbers of this moment."""
        assert self._ready is not None, "the stack is not running"  # noqa: S101 - a mistake of the caller
        return self._ready.with_pids(self._running.pids())

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._exit.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._report("stopping")
        await self._exit.aclose()

    def pid(self, name: str) -> int:
        """The process number of a running part. Raises KeyError while it is down."""
        return self._running.pids()[name]

    def kill(self, name: str, sent: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to a part; should it die, it is started again as after any accident."""
        self._running.kill(name, sent)

    async def stop(self, name: str) -> None:
        """Stop a part and keep it down."""
        await self._running.stop(name)

    async def start(self, name: str) -> None:
        """Start a part that was stopped; returns when it answers."""
        await self._running.start(name)

    async def answering(self, *names: str) -> None:
        """Wait until these parts (all without names) answer, for example after a kill."""
        await self._running.ready(*(names or self._names))

    async def forever(self) -> None:
        """Run until cancelled."""
        await self._running.forever()

    @property
    def _running(self) -> Supervisor:
        assert self._supervisor is not None, "the stack is not running"  # noqa: S101 - a mistake of the caller
        return self._supervisor

    def _wanted(self, names: Collection[str]) -> tuple[str, ...]:
        unknown = set(names) - set(plan.NAMES)
        if unknown:
            raise ValueError(f"no such part of the stack: {', '.join(sorted(unknown))}")
        absent = set()
        if self.settings.database_url:
            absent.add("postgres")
        if self.settings.own_s3:
            absent.add("s3")
        return tuple(name for name in plan.NAMES if name in names and name not in absent)

    async def _start(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = self._exit.enter_context(lock.exclusive(self.home))
        (self.home / FILE_NAME).unlink(missing_ok=True)
        for log in (self.home / "logs").glob("*.log"):
            if log.stat().st_size > _LOG_BYTES:
                log.replace(log.with_suffix(".log.1"))
        environments, postgres = self._choose()
        supervisor = Supervisor(self.home / "hold", descriptor, self._report, self._announce)
        self._supervisor = await self._exit.enter_async_context(supervisor)
        await self._start_servers(supervisor, environments, postgres)
        for tier in plan.TIERS:
            names = [name for name in tier if name in self._names]
            supervisor.add(*(plan.service(name, environments) for name in names))
        await supervisor.ready(*self._names)
        self._ready = plan.ready(environments)
        self._announced = True
        self._exit.callback(self._withdraw)
        self._announce()

    def _choose(self) -> tuple[Environments, Postgres]:
        kept = secrets.load(self.home / "secrets")
        places = addresses.choose(self.settings, self._names)
        postgres = Postgres(self.home / "postgres", places.ports["postgres"], kept.postgres)
        s3 = S3(self.home / "s3", places.s3, kept.s3_access_key_id, kept.s3_secret_access_key)
        environments = Environments(
            home=self.home,
            given=self.settings.environment,
            addresses=places,
            secrets=kept,
            database_url=self.settings.database_url or postgres.url(databases.DATABASE),
            s3=None if self.settings.own_s3 else s3,
        )
        return environments, postgres

    async def _start_servers(
        self, supervisor: Supervisor, environments: Environments, postgres: Postgres
    ) -> None:
        logs = self.home / "logs"
        if "s3" in self._names and environments.s3:
            supervisor.add(environments.s3.program(logs / "s3.log"))
        if "postgres" in self._names:
            if not postgres.data.exists():
                self._report("creating the database")
            await asyncio.to_thread(postgres.prepare)
            supervisor.add(postgres.program(logs / "postgres.log"))
            await supervisor.ready("postgres")
            await asyncio.to_thread(databases.create_database, postgres.url())
        if "postgres" in self._names or self.settings.database_url:
            await asyncio.to_thread(
                databases.create_roles, environments.database_url, environments.secrets.database
            )

    def _announce(self) -> None:
        if self._announced:
            self.ready.write(self.home)

    def _withdraw(self) -> None:
        self._announced = False
        (self.home / FILE_NAME).unlink(missing_ok=True)

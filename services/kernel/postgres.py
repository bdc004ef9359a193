"""PostgreSQL: the pool, and listening for hints."""

import asyncio
import select
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import psycopg
import structlog
from psycopg import AsyncConnection, sql
from psycopg_pool import AsyncConnectionPool

from services.kernel.errors import Unavailable

log = structlog.get_logger()

Connection = AsyncConnection[tuple[Any, ...]]
Pool = AsyncConnectionPool[Connection]

# What is raised while the database is away, starting, or has no connection free: worth another try later.
DATABASE_ERRORS: Final = (psycopg.OperationalError,)

START_LIMIT_SECONDS: Final = 60.0
_POOL_LIMIT_SECONDS: Final = 10.0
_RECONNECT_SECONDS: Final = 1.0

# No prepared statements: the server may be behind a transaction pooler. A server whose machine is gone (and says
# nothing) is noticed after about 25 s.
_OPTIONS: Final[dict[str, Any]] = {
    "autocommit": True,
    "prepare_threshold": None,
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}


@asynccontextmanager
async def open_pool(url: str, *, min_size: int = 2, max_size: int = 8) -> AsyncIterator[Pool]:
    """A pool of autocommit connections that works behind a transaction pooler.

    Transactions are opened where they are meant: `async with pool.connection() as c, c.transaction()`.
    Waits up to 60 s for the database at the start (raises Unavailable); later a caller that gets no connection
    within 10 s is told so (psycopg_pool.PoolTimeout, which the gRPC side answers with UNAVAILABLE).
    """
    pool: Pool = AsyncConnectionPool(
        url,
        min_size=min_size,
        max_size=max_size,
        timeout=_POOL_LIMIT_SECONDS,
        reconnect_timeout=5,
        check=_check,
        kwargs=_OPTIONS,
        open=False,
    )
    await pool.open()
    try:
        try:
            await pool.wait(timeout=START_LIMIT_SECONDS)
        except psycopg.OperationalError:
            raise Unavailable("the database can not be reached") from None
        yield pool
    finally:
        await pool.close(timeout=5)


async def _check(connection: Connection) -> None:
    """Refuses a connection that the server closed while it lay in the pool.

    A server says nothing to an idle connection but good-bye. So only one with something to read is asked, which
    costs a round trip; looking costs a microsecond.
    """
    idle = select.poll()
    idle.register(connection.fileno(), select.POLLIN)
    if idle.poll(0):
        await AsyncConnectionPool.check_connection(connection)


async def connect(direct_url: str) -> Connection:
    """A connection of its own, in autocommit. Waits up to 60 s for the database; raises Unavailable."""
    loop = asyncio.get_running_loop()
    give_up = loop.time() + START_LIMIT_SECONDS
    while True:
        try:
            return await AsyncConnection.connect(direct_url, **_OPTIONS)
        except psycopg.OperationalError as error:
            if loop.time() > give_up:
                raise Unavailable(f"the database can not be reached: {error}") from None
            log.warning("database_unavailable", error=str(error))
            await asyncio.sleep(_RECONNECT_SECONDS)


async def listen(
    direct_url: str, channel: str, *, poll_seconds: float = 5.0
) -> AsyncGenerator[str | None, None]:
    """Payloads notified on `channel`, for ever.

    None means "look for yourself": after each (re)connect and at least every `poll_seconds`, since a
    notification is a hint that may be lost. Close it (`contextlib.aclosing`) when it is left early.
    """
    while True:
        try:
            async with await AsyncConnection.connect(direct_url, **_OPTIONS) as connection:
                await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
                yield None
                while True:
                    async for notification in connection.notifies(timeout=poll_seconds):
                        yield notification.payload
                    yield None
        except psycopg.OperationalError as error:
            log.warning("listen_reconnecting", channel=channel, error=type(error).__name__)
            await asyncio.sleep(_RECONNECT_SECONDS)
            yield None

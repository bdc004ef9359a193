"""The pool and the listener against a real server that is restarted and whose connections are cut."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import psycopg
import psycopg_pool
import pytest
from structlog.testing import capture_logs

from deploy.local import ports
from deploy.local.postgres import Postgres, new_password
from deploy.local.process import kill_group, running
from services.kernel import postgres as kernel_postgres
from services.kernel.errors import Unavailable
from services.kernel.postgres import Pool, connect, listen, open_pool

CUT_THE_OTHERS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


def cut_connections(database: str) -> int:
    with psycopg.connect(database, autocommit=True) as connection:
        return len(connection.execute(CUT_THE_OTHERS).fetchall())


async def one(pool: Pool) -> object:
    async with pool.connection() as connection:
        row = await (await connection.execute("SELECT 1")).fetchone()
        return row and row[0]


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    async with open_pool(database, min_size=3, max_size=3) as opened:
        yield opened


async def test_each_statement_is_its_own_transaction_unless_one_is_opened(
    database: str, pool: Pool
) -> None:
    async with pool.connection() as connection:
        await connection.execute("CREATE TABLE notes (id integer)")
        async with connection.transaction(force_rollback=True):
            await connection.execute("INSERT INTO notes VALUES (1)")
        await connection.execute("INSERT INTO notes VALUES (2)")
    with psycopg.connect(database) as other:
        assert other.execute("SELECT id FROM notes").fetchall() == [(2,)]


async def test_no_statement_is_prepared_since_a_pooler_may_be_between(pool: Pool) -> None:
    for _ in range(20):
        assert await one(pool) == 1
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT count(*) FROM pg_prepared_statements")
        assert await cursor.fetchone() == (0,)


async def test_connections_that_the_server_closed_are_replaced_before_anybody_gets_one(
    database: str, pool: Pool
) -> None:
    for _ in range(3):
        # The pool connects anew in the background: ten callers may have been served by two before the third is there.
        while pool.get_stats()["pool_available"] < 3:
            await asyncio.sleep(0.01)
        assert cut_connections(database) == 3
        await asyncio.sleep(0.05)
        assert await asyncio.gather(*(one(pool) for _ in range(10))) == [1] * 10


async def test_a_healthy_connection_is_not_asked_before_it_is_given(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asking would be one more round trip for each statement."""

    async def fail(_: object) -> None:
        pytest.fail("asked")

    monkeypatch.setattr(psycopg_pool.AsyncConnectionPool, "check_connection", fail)
    for _ in range(20):
        await one(pool)


async def test_a_caller_who_gets_no_connection_in_time_is_told(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel_postgres, "_POOL_LIMIT_SECONDS", 0.1)
    async with open_pool(database, min_size=1, max_size=1) as small:
        async with small.connection():
            with pytest.raises(psycopg_pool.PoolTimeout):
                await one(small)
        assert await one(small) == 1


async def test_no_database_at_the_start_is_a_sentence_and_not_a_trace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kernel_postgres, "START_LIMIT_SECONDS", 0.2)
    nowhere = "postgresql://user:hunter2@127.0.0.1:1/name"
    with capture_logs() as logs:
        with pytest.raises(Unavailable, match="can not be reached") as of_the_pool:
            async with open_pool(nowhere):
                pass
        with pytest.raises(Unavailable, match="can not be reached") as of_one:
            await connect(nowhere)
    for text in (str(of_the_pool.value), str(of_one.value), str(logs)):
        assert "hunter2" not in text


async def test_notifications_arrive_and_none_says_look_for_yourself(database: str) -> None:
    async with aclosing(listen(database, "works", poll_seconds=0.3)) as payloads:
        assert await anext(payloads) is None
        await notify(database, "works", "7")
        assert await anext(payloads) == "7"
        await notify(database, "others", "8")
        assert await anext(payloads) is None
        await notify(database, "works", "9")
        assert await anext(payloads) == "9"


async def test_the_poll_comes_also_while_notifications_rain(database: str) -> None:
    async def rain() -> None:
        while True:
            await notify(database, "works", "drop")

    async with aclosing(listen(database, "works", poll_seconds=0.2)) as payloads:
        assert await anext(payloads) is None
        raining = asyncio.create_task(rain())
        async with asyncio.timeout(10):
            seen = [await anext(payloads)]
            while seen[-1] is not None:
                seen.append(await anext(payloads))
        raining.cancel()
        await asyncio.wait([raining])
    assert "drop" in seen


async def test_a_channels_name_is_a_name_and_not_sql(database: str) -> None:
    name = 'odd "name"; SELECT 1'
    async with aclosing(listen(database, name, poll_seconds=5)) as payloads:
        assert await anext(payloads) is None
        await notify(database, name, "7")
        assert await anext(payloads) == "7"


async def test_a_listener_whose_connection_is_cut_connects_again_and_says_look(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel_postgres, "_RECONNECT_SECONDS", 0.05)
    async with aclosing(listen(database, "works", poll_seconds=60)) as payloads:
        assert await anext(payloads) is None
        for number in range(3):
            assert cut_connections(database) == 1
            with capture_logs() as logs:
                assert await anext(payloads) is None
                assert await anext(payloads) is None
            assert [entry["event"] for entry in logs] == ["listen_reconnecting"]
            await notify(database, "works", str(number))
            assert await anext(payloads) == str(number)


async def test_pool_and_listener_survive_a_restart_of_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel_postgres, "_RECONNECT_SECONDS", 0.05)
    server = Postgres(tmp_path, ports.choose(), new_password(), settings={"fsync": "off"})
    await asyncio.to_thread(server.prepare)
    program = server.program(tmp_path / "postgres.log")
    seen: asyncio.Queue[str | None] = asyncio.Queue()

    async def hear() -> None:
        async with aclosing(listen(server.url(), "works", poll_seconds=60)) as payloads:
            async for payload in payloads:
                seen.put_nowait(payload)

    first = running(program)
    process = first.__enter__()
    async with open_pool(server.url(), min_size=2, max_size=4) as pool:
        hearing = asyncio.create_task(hear())
        assert await seen.get() is None
        assert await one(pool) == 1
        # `-m immediate`: nobody is told good-bye.
        process.send_signal(signal.SIGQUIT)
        await asyncio.to_thread(process.wait)
        kill_group(process.pid)
        with pytest.raises(psycopg.OperationalError):
            async with pool.connection(timeout=0.5):
                pass
        first.__exit__(None, None, None)
        with running(program):
            async with asyncio.timeout(15):
                assert await asyncio.gather(*(one(pool) for _ in range(8))) == [1] * 8
                await until_listening(server.url())
                await notify(server.url(), "works", "back")
                while await seen.get() != "back":
                    pass
            hearing.cancel()
            await asyncio.wait([hearing])


async def notify(database: str, channel: str, payload: str) -> None:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        await connection.execute("SELECT pg_notify(%s, %s)", (channel, payload))


async def until_listening(database: str) -> None:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        while True:
            cursor = await connection.execute(
                "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND state = 'idle'"
            )
            if await cursor.fetchone():
                return
            await asyncio.sleep(0.02)

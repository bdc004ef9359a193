"""The local stack with its two servers."""

import asyncio
import json
import signal
import stat
from pathlib import Path

import psycopg
import pytest

from deploy.local.databases import address_for
from deploy.local.process import StartError
from deploy.local.ready import Ready
from deploy.local.stack import Stack
from tests.conftest import S3Access
from tests.integration.stack.tiny import alive

_ANY_PORTS = {"REELGATE_BFF_PORT": "0", "REELGATE_GATEWAY_PORT": "0"}


def _stack(home: Path, *parts: str, **env: str) -> Stack:
    return Stack(home, only=parts, env={**_ANY_PORTS, **env})


async def test_yesterdays_data_and_addresses_are_there_at_the_second_start(tmp_path: Path) -> None:
    async with _stack(tmp_path, "postgres", "s3") as stack:
        first = stack.ready
        with psycopg.connect(first.database_url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    async with _stack(tmp_path, "postgres", "s3") as stack:
        assert stack.ready.with_pids({}) == first.with_pids({})
        with psycopg.connect(stack.ready.database_url) as connection:
            assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


async def test_ready_json_tells_who_runs_and_goes_when_the_stack_does(tmp_path: Path) -> None:
    file = tmp_path / "ready.json"
    file.write_text("of a stack that was killed")
    async with _stack(tmp_path, "postgres") as stack:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert Ready.read(tmp_path) == stack.ready
        pid = stack.pid("postgres")
        assert json.loads(file.read_text())["pids"] == {"postgres": pid}
        stack.kill("postgres")
        async with asyncio.timeout(10):
            while Ready.read(tmp_path).pids.get("postgres", pid) == pid:
                await asyncio.sleep(0.02)
        await stack.answering()
    assert not file.exists()
    assert not alive([pid])


async def test_the_database_survives_its_servers_death_at_the_same_address(tmp_path: Path) -> None:
    async with _stack(tmp_path, "postgres") as stack:
        with psycopg.connect(stack.ready.database_url) as connection:
            connection.execute("CREATE TABLE kept ()")
        stack.kill("postgres", signal.SIGKILL)
        await stack.answering("postgres")
        with psycopg.connect(stack.ready.database_url) as connection:
            connection.execute("SELECT FROM kept")


async def test_a_database_of_the_users_own_wins(tmp_path: Path, database: str) -> None:
    async with _stack(tmp_path, "postgres", DATABASE_URL=database) as stack:
        assert stack.ready.pids == {}
        assert stack.ready.database_url == database
        password = (tmp_path / "secrets" / "quota_password").read_text()
        with psycopg.connect(address_for(database, "quota", password)) as connection:
            assert connection.execute("SELECT current_schema()").fetchone() == ("quota",)
    assert not (tmp_path / "postgres").exists()


async def test_an_s3_of_the_users_own_wins(tmp_path: Path, s3: S3Access) -> None:
    own = {"S3_ENDPOINT": s3.endpoint, "S3_BUCKET_NAME": s3.bucket}
    async with _stack(tmp_path, "s3", **own) as stack:
        assert stack.ready.pids == {}
        assert stack.ready.s3["endpoint"] == s3.endpoint
        assert stack.ready.s3["secret_access_key"] == ""


async def test_two_stacks_never_share_a_home(tmp_path: Path) -> None:
    async with _stack(tmp_path):
        with pytest.raises(StartError, match=r"another stack \(process \d+\) uses"):
            await _stack(tmp_path).__aenter__()
    async with _stack(tmp_path):
        pass


async def test_a_home_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    async with _stack(tmp_path / "home"):
        assert stat.S_IMODE((tmp_path / "home").stat().st_mode) == 0o700


async def test_a_log_that_grew_long_is_set_aside(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "quota.log"
    log.parent.mkdir()
    with log.open("wb") as file:
        file.truncate(21 * 1024 * 1024)
    async with _stack(tmp_path):
        assert not log.exists()
        assert log.with_suffix(".log.1").exists()


def test_a_part_that_does_not_exist_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such part of the stack: postgras"):
        _stack(tmp_path, "postgras")

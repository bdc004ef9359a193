"""The service as processes: started, asked, killed, told to stop, given wrong settings."""

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import psycopg
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from deploy.local.databases import address_for, create_roles
from services.kernel.errors import ReelgateError
from services.kernel.ids import new_id
from tests.contract.quota.running import Callers, Keys, new_run
from tests.integration.quota.process import COMMAND, ROOT, Process

_ROLE = "quota_of_one_test"


def finish(environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the command to its end."""
    return subprocess.run(
        (*COMMAND, *arguments),
        env=dict(environment),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.fixture
def process(database: str, keys: Keys, tmp_path: Path) -> Process:
    """As in an installation: the service has a role and a schema of its own, and sees nothing else."""
    create_roles(database, {_ROLE: "a password"})
    return Process(
        address_for(database, _ROLE, "a password"),
        keys,
        tmp_path / "quota.log",
        REELGATE_QUOTA_DEFAULT_BYTES="1000",
    )


@pytest.fixture
async def channel(process: Process) -> AsyncIterator[grpc.aio.Channel]:
    options = [("grpc.max_reconnect_backoff_ms", 100), ("grpc.min_reconnect_backoff_ms", 50)]
    async with grpc.aio.insecure_channel(process.address, options=options) as channel:
        yield channel


async def test_a_process_serves_counts_and_stops_when_told(
    process: Process, channel: grpc.aio.Channel, keys: Keys
) -> None:
    user = new_id()
    with process.running() as popen:
        await process.until_ready()
        quota = (
            await Callers(channel, keys.signer).gateway_for(user).admit(new_run(), user, 10)
        ).quota
        assert (quota.quota_bytes, quota.reserved_bytes) == (1000, 10)

        health: Any = health_pb2_grpc.HealthStub(channel)
        for service in ("", "reelgate.quota.v1.QuotaService"):
            answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING

        async with aiohttp.ClientSession() as session:
            async with session.get(f"{process.admin}/healthz") as answer:
                assert await answer.json() == {"status": "healthy"}
            async with session.get(f"{process.admin}/metrics") as answer:
                metrics = await answer.text()
        assert "reelgate_quota_admitted_total 1.0" in metrics
        assert 'reelgate_quota_bytes_total{call="admit"} 10.0' in metrics

        popen.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(popen.wait, 20) == 0


async def test_a_killed_process_loses_nothing_that_was_answered(
    process: Process, channel: grpc.aio.Channel, keys: Keys, database: str
) -> None:
    """Each admission that was answered is on the books after kill -9, and a repeat of any of them changes nothing."""
    user = new_id()
    gateway = Callers(channel, keys.signer).gateway_for(user)
    runs = [new_run() for _ in range(1200)]
    answered = 0

    async def admit_until_it_dies() -> None:
        nonlocal answered
        for run in runs:
            try:
                await gateway.admit(run, user, 1)
            except ReelgateError:
                return
            answered += 1

    with process.running() as popen:
        await process.until_ready()
        work = asyncio.create_task(admit_until_it_dies())
        while answered < 20:
            await asyncio.sleep(0.001)
        popen.kill()
        await work
    with process.running():
        await process.until_ready()
        reserved = (await gateway.get()).reserved_bytes
        assert reserved in (answered, answered + 1)
        for run in runs[:answered]:
            assert (await gateway.admit(run, user, 1)).replayed
        assert (await gateway.get()).reserved_bytes == reserved


def test_migrate_brings_the_database_up_to_date_and_ends(process: Process, database: str) -> None:
    for _ in range(2):
        assert finish(process.environment, "migrate").returncode == 0
    with psycopg.connect(database) as connection:
        row = connection.execute(f"SELECT count(*) FROM {_ROLE}.default_limit").fetchone()
    assert row == (1,)


def test_a_wrong_setting_stops_the_start_with_one_line_that_names_it(process: Process) -> None:
    done = finish(process.environment | {"REELGATE_QUOTA_LISTEN": "nowhere"})
    assert done.returncode == 78
    assert done.stderr.startswith("reelgate: REELGATE_QUOTA_LISTEN: must be host:port")
    assert done.stderr.count("\n") == 1


def test_an_unknown_command_is_refused(process: Process) -> None:
    done = finish(process.environment, "destroy")
    assert done.returncode == 78
    assert "migrate" in done.stderr

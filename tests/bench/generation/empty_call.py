"""The measure for comparison: what the least gRPC call costs its server on this machine, in this run."""

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc

from deploy.local import ports
from deploy.local.environments import ROOT
from deploy.local.process import Program, running
from reelgate.quota.v1 import quota_pb2, quota_pb2_grpc
from tests.bench.processes import cpu_seconds

_CALLS = 4000
_CONCURRENT = 64


@dataclass(frozen=True, slots=True)
class EmptyServer:
    """A server that does nothing."""

    address: str
    pid: int

    async def cpu_seconds_a_call(self) -> float:
        """Its CPU time for one unary call, of many, 64 at once."""
        async with grpc.aio.insecure_channel(self.address) as channel:
            stub = quota_pb2_grpc.QuotaServiceStub(channel)
            await channel.channel_ready()

            async def call() -> None:
                for _ in range(_CALLS // _CONCURRENT):
                    await stub.Admit(quota_pb2.AdmitRequest())

            used = cpu_seconds(self.pid)
            await asyncio.gather(*(call() for _ in range(_CONCURRENT)))
            return (cpu_seconds(self.pid) - used) / _CALLS


@contextmanager
def empty_server(directory: Path) -> Iterator[EmptyServer]:
    """Runs one."""
    port = ports.choose()
    address = f"127.0.0.1:{port}"
    program = Program(
        name="empty_server",
        argv=(sys.executable, "-m", "tests.bench.quota.empty_server", address),
        environment={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'protos' / 'gen'}"},
        log=directory / "empty_server.log",
        probe=lambda: not ports.is_free(port),
    )
    with running(program) as process:
        yield EmptyServer(address, process.pid)

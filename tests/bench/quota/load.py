"""Calls a quota server as fast as a number of concurrent callers can: each admits a run with a price and settles it."""

import asyncio
import itertools
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

import grpc

from reelgate.common.v1.run_pb2 import Run
from reelgate.quota.v1 import quota_pb2, quota_pb2_grpc
from services.kernel.ids import new_id

BYTES = 1000
PRICE = 1


@dataclass(frozen=True)
class User:
    """Somebody to call for, and the metadata that carries his token."""

    user_id: str
    metadata: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Sample:
    """One burst of calls: each RPC counts one; latencies in seconds."""

    calls: int
    seconds: float
    latencies: Sequence[float]

    @property
    def per_second(self) -> float:
        return self.calls / self.seconds

    @property
    def p99_ms(self) -> float:
        ordered = sorted(self.latencies)
        return ordered[int(len(ordered) * 0.99)] * 1000


async def burst(
    address: str, users: Sequence[User], *, seconds: float, concurrent: int = 64
) -> Sample:
    """Keeps `concurrent` callers busy for that long."""
    latencies: list[float] = []
    seed = itertools.count()
    async with grpc.aio.insecure_channel(address) as channel:
        stub = quota_pb2_grpc.QuotaServiceStub(channel)
        await channel.channel_ready()
        begin = time.perf_counter()

        async def call() -> None:
            chance = random.Random(next(seed))
            while time.perf_counter() - begin < seconds:
                user = chance.choice(users)
                run = Run(generation_id=str(new_id()))
                started = time.perf_counter()
                await stub.Admit(
                    quota_pb2.AdmitRequest(
                        run=run, user_id=user.user_id, reserve_bytes=BYTES, price_credits=PRICE
                    ),
                    metadata=user.metadata,
                )
                between = time.perf_counter()
                run.lease_token = 1
                await stub.Settle(
                    quota_pb2.SettleRequest(
                        run=run, stored_bytes=BYTES, outcome=quota_pb2.RUN_OUTCOME_KEPT
                    ),
                    metadata=user.metadata,
                )
                latencies.extend((between - started, time.perf_counter() - between))

        await asyncio.gather(*(call() for _ in range(concurrent)))
        return Sample(len(latencies), time.perf_counter() - begin, latencies)

"""`python -m tests.integration.quota [rounds] [races] [histories]`: the contests at full length, with what they showed.

A history is a sequence of 100 calls that is compared with the oracle.
"""

import asyncio
import json
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

from deploy.local import ports
from deploy.local.postgres import Postgres, new_password
from deploy.local.process import running
from services.kernel.migrations import migrate
from services.kernel.postgres import open_pool
from services.kernel.tokens import Signer, generate_signing_key, public_jwks
from services.quota.__main__ import MIGRATIONS
from tests.contract.quota.running import Keys, quota_server
from tests.integration.quota.books import drift
from tests.integration.quota.contests import (
    admissions_at_the_limit,
    cancels_against_completions,
)
from tests.integration.quota.test_state_machine import Real, compare


async def contests(url: str, keys: Keys, rounds: int, races: int) -> None:
    """Prints what was done; raises AssertionError when a byte or a credit went astray."""
    await migrate(url, MIGRATIONS)
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(open_pool(url))
        replicas = [
            await stack.enter_async_context(quota_server(url, keys, pool_size=6)) for _ in range(2)
        ]
        begin = time.monotonic()
        done = await admissions_at_the_limit(replicas, rounds)
        print(
            f"{rounds} rounds, {done} admissions at the limit, {time.monotonic() - begin:.0f} s: "
            "exactly those that fit succeeded"
        )
        begin = time.monotonic()
        outcomes = await cancels_against_completions(replicas, races)
        print(
            f"{races} cancels against completions, {time.monotonic() - begin:.0f} s: "
            f"{outcomes['captured']} captured, {outcomes['refunded']} refunded, one outcome each"
        )
        assert await drift(pool) == []
        print("no drift: every figure is the sum of what it stands for")


def main(arguments: list[str]) -> None:
    rounds, races, histories = [int(text) for text in arguments] or (1000, 10_000, 200)
    with tempfile.TemporaryDirectory() as folder:
        pem = generate_signing_key()
        jwks_file = Path(folder) / "jwks.json"
        jwks_file.write_text(json.dumps(public_jwks(pem)))
        postgres = Postgres(
            Path(folder) / "postgres",
            ports.choose(),
            new_password(),
            settings={"fsync": "off", "synchronous_commit": "off"},
        )
        postgres.directory.mkdir()
        postgres.prepare()
        with running(postgres.program(Path(folder) / "postgres.log")):
            keys = Keys(Signer(pem), jwks_file)
            asyncio.run(contests(postgres.url(), keys, rounds, races))
            real = Real(postgres.url())
            compare(real, examples=histories, steps=100)
            real.close()
            print(f"{histories * 100} calls agreed with the oracle")


if __name__ == "__main__":
    main(sys.argv[1:])

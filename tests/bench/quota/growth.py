"""`python -m tests.bench.quota.growth [rounds] [seconds]`: what a call costs as the ledger grows.

From 10 thousand rows to 10 million. They are made by the database itself, of the shape that runs leave: for each run a
hold and a capture, and the reservation that both belong to. They are spread over 10,000 users, so that who calls has
as many as any other.
"""

import asyncio
import statistics
import sys
import tempfile
from pathlib import Path

import psycopg

from deploy.local import ports
from deploy.local.postgres import Postgres, new_password
from deploy.local.process import running
from services.kernel.migrations import migrate
from services.quota.__main__ import MIGRATIONS
from tests.bench.quota.pgbench import statements_per_second
from tests.bench.report import publish, table

USERS = 10_000
SIZES = (10_000, 100_000, 1_000_000, 10_000_000)

_RUNS = """
INSERT INTO reservations (
    generation_id, run, user_id, state, lease_token, reserved_bytes, price_credits, held_credits, stored_bytes,
    outcome, settle_time
)
SELECT md5(i::text)::uuid, 0, lpad(to_hex(i % {users} + 1), 32, '0')::uuid, 'settled', 1, 1000, 1, 1, 1000,
    'kept', now()
FROM generate_series({first}, {last}) i
"""
_ENTRIES = """
INSERT INTO ledger (
    user_id, seq, kind, from_account, to_account, amount,
    balance_before, balance_after, held_before, held_after, cause_id, run, is_end
)
SELECT lpad(to_hex(i % {users} + 1), 32, '0')::uuid, 2 * (i / {users}) + e.seq, e.kind, e.from_account, e.to_account, 1,
    1, 1, 1, 1, md5(i::text)::uuid, 0, e.is_end
FROM generate_series({first}, {last}) i
CROSS JOIN (VALUES
    (1, 'hold'::ledger_kind, 'available'::ledger_account, 'held'::ledger_account, false),
    (2, 'capture', 'held', 'spent', true)
) e (seq, kind, from_account, to_account, is_end)
"""
# Users begin behind the entries that are there; what those add up to is not what is measured.
_USERS = """
INSERT INTO subjects (user_id, balance, is_welcomed, ledger_seq)
SELECT lpad(to_hex(i), 32, '0')::uuid, 1000000000, true, 1000000 FROM generate_series(1, {users}) i
ON CONFLICT (user_id) DO NOTHING
"""


def grow(url: str, have: int, wanted: int) -> None:
    """Adds rows to the ledger until there are that many."""
    first, last = have // 2, wanted // 2 - 1
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in (_USERS, _RUNS, _ENTRIES):
            connection.execute(statement.format(users=USERS, first=first, last=last))
        connection.execute("VACUUM (ANALYZE) ledger, reservations")
        connection.execute("CHECKPOINT")


def measure(url: str, rounds: int, seconds: int) -> list[tuple[int, float]]:
    """For each size the median of statements a second."""
    asyncio.run(migrate(url, MIGRATIONS))
    found: list[tuple[int, float]] = []
    have = 0
    for size in SIZES:
        grow(url, have, size)
        have = size
        samples = [
            statements_per_second(url, users=USERS, seconds=seconds, concurrent=8)
            for _ in range(rounds)
        ]
        found.append((size, statistics.median(samples)))
    return found


def main(arguments: list[str]) -> None:
    rounds, seconds = [int(text) for text in arguments] or (3, 4)
    with tempfile.TemporaryDirectory() as directory:
        postgres = Postgres(
            Path(directory) / "postgres",
            ports.choose(),
            new_password(),
            settings={"fsync": "off", "synchronous_commit": "off", "max_wal_size": "8GB"},
        )
        postgres.directory.mkdir()
        postgres.prepare()
        with running(postgres.program(Path(directory) / "postgres.log")):
            found = measure(postgres.url(), rounds, seconds)
    first = found[0][1]
    rows = [
        (f"{size:,}", f"{speed:,.0f}", f"{1e6 / speed:.0f}", f"{first / speed:.2f}")
        for size, speed in found
    ]
    header = ("rows in the ledger", "statements a second", "µs a statement", "of the first")
    publish("quota-growth", table([header, *rows]))


if __name__ == "__main__":
    main(sys.argv[1:])

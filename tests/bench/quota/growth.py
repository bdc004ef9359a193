"""`python -m tests.bench.quota.growth [rounds]`: what a call costs as the ledger grows.

From 10 thousand rows to 10 million, a database for each, measured in turns. The rows are made by the databases
themselves, of the shape that runs leave: for each run a hold and a capture, and the reservation that both belong to,
with ids that are ordered by time, as the gateway's are. They are spread over 10,000 users, so that who calls has as
many as any other. What counts is the CPU time of PostgreSQL, less what connecting takes and without autovacuum: that
of the service knows nothing of how much there is.
"""

import asyncio
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil
import psycopg
from psycopg import sql

from deploy.local import ports
from deploy.local.postgres import Postgres, new_password
from deploy.local.process import running
from services.kernel.migrations import migrate
from services.quota.__main__ import MIGRATIONS
from tests.bench.quota.pgbench import make_statements
from tests.bench.report import publish, table

USERS = 10_000
SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
STATEMENTS = 8000
CONCURRENT = 4
MUST = 1.1
# Smaller ones would not stay what they are: each round has a copy.
_STAYS = 1_000_000
# So that what is often asked for is in memory.
_WARM_UP = 80_000

# One second lies between two runs.
_RUNS = """
INSERT INTO reservations (
    generation_id, run, user_id, state, lease_token, reserved_bytes, price_credits, held_credits, stored_bytes,
    outcome, create_time, settle_time
)
SELECT uuidv7((i - {runs}) * interval '1 second'), 0, lpad(to_hex(i % {users} + 1), 32, '0')::uuid, 'settled', 1,
    1000, 1, 1, 1000, 'kept', now() + (i - {runs}) * interval '1 second', now()
FROM generate_series(0, {runs} - 1) i
"""
_ENTRIES = """
INSERT INTO ledger (
    user_id, seq, kind, from_account, to_account, amount,
    balance_before, balance_after, held_before, held_after, cause_id, run, is_end
)
SELECT r.user_id, 2 * (row_number() OVER (ORDER BY r.generation_id) / {users}) + e.seq, e.kind, e.from_account,
    e.to_account, 1, 1, 1, 1, 1, r.generation_id, 0, e.is_end
FROM reservations r
CROSS JOIN (VALUES
    (1, 'hold'::ledger_kind, 'available'::ledger_account, 'held'::ledger_account, false),
    (2, 'capture', 'held', 'spent', true)
) e (seq, kind, from_account, to_account, is_end)
"""
# Users begin behind the entries that are there; what those add up to is not what is measured.
_USERS = """
INSERT INTO subjects (user_id, balance, is_welcomed, ledger_seq)
SELECT lpad(to_hex(i), 32, '0')::uuid, 1000000000, true, 1000000 FROM generate_series(1, {users}) i
"""


class Database:
    """One with that many rows in its ledger."""

    def __init__(self, server: Postgres, rows: int) -> None:
        self._server = server
        self._rows = rows
        self._name = f"rows_{rows}"
        self._run("CREATE DATABASE {}")
        asyncio.run(migrate(server.url(self._name), MIGRATIONS))
        with psycopg.connect(server.url(self._name), autocommit=True) as connection:
            for statement in (_USERS, _RUNS, _ENTRIES):
                connection.execute(statement.format(users=USERS, runs=rows // 2))
            connection.execute("VACUUM (ANALYZE)")
            connection.execute("CHECKPOINT")
        if rows >= _STAYS:
            _call(server.url(self._name), _WARM_UP)

    def _run(self, statement: str) -> None:
        with psycopg.connect(self._server.url(), autocommit=True) as connection:
            names = (sql.Identifier(self._name), sql.Identifier(f"{self._name}_copy"))
            connection.execute(sql.SQL(statement).format(*names))

    def cost(self, process: psutil.Process) -> float:
        """CPU microseconds of the server a statement."""
        if self._rows >= _STAYS:
            return self._cost(process, self._server.url(self._name))
        self._run("CREATE DATABASE {1} TEMPLATE {0}")
        try:
            return self._cost(process, self._server.url(f"{self._name}_copy"))
        finally:
            self._run("DROP DATABASE {1}")

    def _cost(self, process: psutil.Process, url: str) -> float:
        _call(url, STATEMENTS // 4)
        moments = [_cpu_seconds(process)]
        for statements in (2 * CONCURRENT, STATEMENTS):
            _call(url, statements)
            moments.append(_cpu_seconds(process))
        begin, connected, end = moments
        return (end - connected - (connected - begin)) / STATEMENTS * 1e6


def _call(url: str, statements: int) -> None:
    make_statements(url, users=USERS, statements=statements, concurrent=CONCURRENT)


def measure(
    server: Postgres, process: psutil.Process, rounds: int
) -> Mapping[int, Sequence[float]]:
    """For each size the CPU microseconds a statement, round for round."""
    databases = {rows: Database(server, rows) for rows in SIZES}
    found: defaultdict[int, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for rows, database in databases.items():
            found[rows].append(database.cost(process))
    return found


def _cpu_seconds(process: psutil.Process) -> float:
    """Of the server and of all connections that have ended."""
    times = process.cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


def main(arguments: list[str]) -> None:
    (rounds,) = [int(text) for text in arguments] or (9,)
    with tempfile.TemporaryDirectory() as directory:
        server = Postgres(
            Path(directory) / "postgres",
            ports.choose(),
            new_password(),
            settings={
                "fsync": "off",
                "synchronous_commit": "off",
                "max_wal_size": "8GB",
                "autovacuum": "off",
            },
        )
        server.directory.mkdir()
        server.prepare()
        with running(server.program(Path(directory) / "postgres.log")) as process:
            found = measure(server, psutil.Process(process.pid), rounds)
    publish("quota-growth", _told(found))


def _told(found: Mapping[int, Sequence[float]]) -> str:
    rows = [("rows in the ledger", "CPU µs a statement", "of the first", "of a tenth", "must")]
    for size, before in zip(SIZES, (None, *SIZES), strict=False):
        rows.append(
            (
                f"{size:,}",
                f"{statistics.median(found[size]):.0f}",
                f"{_ratio(found[size], found[SIZES[0]]):.2f}",
                f"{_ratio(found[size], found[before]):.2f}" if before else "",
                f"≤ {MUST}" if before else "",
            )
        )
    return table(rows)


def _ratio(one: Sequence[float], other: Sequence[float]) -> float:
    """Of what was measured in the same round."""
    return statistics.median(a / b for a, b in zip(one, other, strict=True))


if __name__ == "__main__":
    main(sys.argv[1:])

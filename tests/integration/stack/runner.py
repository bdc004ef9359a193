"""A runner to be killed: PostgreSQL, S3 and a program with a child of its own, in the home it is given.

Prints a line with all process numbers when everything is ready.
"""

import asyncio
import sys
from pathlib import Path

from deploy.local import lock, ports
from deploy.local.postgres import Postgres
from deploy.local.s3 import GRPC_OFFSET, PARTS, S3
from deploy.local.supervisor import Supervisor
from tests.integration.stack.tiny import family, parent


async def main(home: Path) -> None:
    """Run until killed."""
    postgres = Postgres(home / "postgres", ports.choose(), "password")
    s3 = S3(
        home / "s3", {part: ports.choose(companion=GRPC_OFFSET) for part in PARTS}, "id", "secret"
    )
    postgres.prepare()
    with lock.exclusive(home) as descriptor:
        async with Supervisor(home / "hold", descriptor, lambda _: None) as supervisor:
            supervisor.add(
                postgres.program(home / "postgres.log"),
                s3.program(home / "s3.log"),
                parent(home, stubborn=True),
            )
            await supervisor.ready("postgres", "s3", "parent")
            pids = {pid for one in supervisor.pids().values() for pid in family(one)}
            print(*sorted(pids), flush=True)
            await supervisor.forever()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))

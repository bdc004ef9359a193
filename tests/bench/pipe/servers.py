"""What has to run: the source, a storage service with its database, and an S3: SeaweedFS or one that keeps nothing."""

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.local import ports
from deploy.local.environments import ROOT
from deploy.local.process import Program, running
from deploy.local.secrets import load
from deploy.local.stack import Stack
from services.kernel.grpc_client import make_channel
from services.kernel.tokens import Signer
from tests.bench.pipe.ours import Ours
from tests.bench.pipe.peers import S3


@dataclass(frozen=True, slots=True)
class Bench:
    """Running servers; `idle` is the service's memory in bytes before it works."""

    ours: Ours
    s3: S3
    idle: int


@contextmanager
def serving(name: str, directory: Path) -> Iterator[str]:
    """Runs a module of this folder; gives its origin."""
    port = ports.choose()
    program = Program(
        name=name,
        argv=(sys.executable, "-m", f"tests.bench.pipe.{name}", f"127.0.0.1:{port}"),
        environment={"PYTHONPATH": f"{ROOT}:{ROOT / 'protos' / 'gen'}"},
        log=directory / f"{name}.log",
        probe=lambda: not ports.is_free(port),
    )
    with running(program):
        yield f"http://127.0.0.1:{port}"


@asynccontextmanager
async def into_seaweedfs(directory: Path, source: str) -> AsyncIterator[Bench]:
    """Storage with an S3 that writes to the disk."""
    async with Stack(directory / "stack", only=("postgres", "s3", "storage")) as stack:
        found = stack.ready.s3
        s3 = S3(
            found["endpoint"],
            found["region"],
            found["bucket"],
            found["access_key_id"],
            found["secret_access_key"],
            "SeaweedFS",
        )
        async with _bench(stack, source, s3) as bench:
            yield bench


@asynccontextmanager
async def into_nothing(directory: Path, source: str) -> AsyncIterator[Bench]:
    """Storage with an S3 that forgets."""
    with serving("null_s3", directory) as endpoint:
        s3 = S3(endpoint, "us-east-1", "bench", "nobody", "nothing", "Other")
        environment = {
            "S3_ENDPOINT": s3.endpoint,
            "S3_REGION": s3.region,
            "S3_BUCKET_NAME": s3.bucket,
            "S3_ACCESS_KEY_ID": s3.access_key_id,
            "S3_SECRET_ACCESS_KEY": s3.secret_access_key,
            "S3_FORCE_PATH_STYLE": "true",
            "REELGATE_EGRESS_PRIVATE_ORIGINS": s3.endpoint,
        }
        stack = Stack(directory / "null", only=("postgres", "storage"), env=environment)
        async with stack, _bench(stack, source, s3) as bench:
            yield bench


@asynccontextmanager
async def _bench(stack: Stack, source: str, s3: S3) -> AsyncIterator[Bench]:
    signer = Signer(load(stack.home / "secrets").signing_key_file.read_text())
    async with make_channel(stack.ready.grpc["storage"]) as channel:
        ours = Ours(channel, signer, source, stack.pid("storage"))
        yield Bench(ours, s3, await ours.warm_up())

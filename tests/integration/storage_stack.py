"""The part of the product that an administrator of storage meets: real S3, real storage, gateway and BFF."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from aiobotocore.session import get_session
from aiohttp import web

from deploy.local import ports
from deploy.local.ready import Ready
from deploy.local.stack import Stack

PARTS: Final = ("postgres", "s3", "storage", "gateway", "frontend_bff")


class StorageStack:
    """A running stack, and a CDN before its bucket that lets nobody in."""

    def __init__(self, stack: Stack, cdn_url: str) -> None:
        self.stack = stack
        self.cdn_url = cdn_url

    @property
    def ready(self) -> Ready:
        """Addresses and secrets."""
        return self.stack.ready

    @asynccontextmanager
    async def s3(self) -> AsyncIterator[Any]:
        """A client of the S3 server, past the product."""
        access = self.ready.s3
        async with get_session().create_client(
            "s3",
            region_name=access["region"],
            endpoint_url=access["endpoint"],
            aws_access_key_id=access["access_key_id"],
            aws_secret_access_key=access["secret_access_key"],
        ) as client:
            yield client

    async def warm_up(self) -> None:
        """Writes once: a new S3 server first makes room, which on a busy machine takes longer than a trial waits."""
        bucket = self.ready.s3["bucket"]
        async with self.s3() as client:
            await client.put_object(Bucket=bucket, Key="warm-up", Body=b"warm")
            await client.delete_object(Bucket=bucket, Key="warm-up")

    async def keys(self) -> list[str]:
        """Everything that lies in the bucket, parts of unfinished uploads included."""
        bucket = self.ready.s3["bucket"]
        async with self.s3() as client:
            listed = await client.list_objects_v2(Bucket=bucket)
            begun = await client.list_multipart_uploads(Bucket=bucket)
        found = [*listed.get("Contents", ()), *begun.get("Uploads", ())]
        return sorted(one["Key"] for one in found)


@asynccontextmanager
async def storage_stack() -> AsyncIterator[StorageStack]:
    """All of ``PARTS`` on free ports."""
    port = ports.choose()
    cdn_url = f"http://{ports.LOOPBACK}:{port}"
    environment = {
        "REELGATE_BFF_PORT": "0",
        "REELGATE_GATEWAY_PORT": "0",
        "REELGATE_EGRESS_PRIVATE_ORIGINS": cdn_url,
    }
    with tempfile.TemporaryDirectory(prefix="reelgate-storage-") as home:
        async with (
            _forbidding(port),
            Stack(Path(home), only=PARTS, env=environment) as stack,
        ):
            running = StorageStack(stack, cdn_url)
            await running.warm_up()
            yield running


@asynccontextmanager
async def _forbidding(port: int) -> AsyncIterator[None]:
    async def forbid(_: web.BaseRequest) -> web.Response:
        return web.Response(status=403, text="not for you")

    runner = web.ServerRunner(web.Server(forbid))
    await runner.setup()
    await web.TCPSite(runner, ports.LOOPBACK, port).start()
    try:
        yield
    finally:
        await runner.cleanup()

"""Asks the storage service to keep files, as the gateway does, and looks at what that costs it."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import uuid4

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from reelgate.common.v1.media_pb2 import MEDIA_TYPE_VIDEO
from reelgate.common.v1.run_pb2 import Run
from reelgate.storage.v1 import storage_pb2, storage_pb2_grpc
from services.kernel.tokens import Signer
from tests.bench.pipe import source
from tests.bench.pipe.peers import Used
from tests.bench.processes import MIB, cpu_seconds, forget_peak, peak_rss_bytes, rss_bytes

_CHUNK = 256 * 1024


class Ours:
    """One running storage service, whose process is `pid`; the bodies come from `origin`."""

    def __init__(self, channel: grpc.aio.Channel, signer: Signer, origin: str, pid: int) -> None:
        self._stub: storage_pb2_grpc.StorageServiceAsyncStub = storage_pb2_grpc.StorageServiceStub(
            channel
        )
        self._origin = origin
        self._pid = pid
        self._owner = str(uuid4())
        token = signer.sign(
            self._owner, audience=["storage"], lifetime_seconds=7200, actor="gateway"
        )
        self._metadata = (("authorization", f"Bearer {token}"),)

    async def warm_up(self) -> int:
        """Loads all code; gives the idle memory in bytes."""
        while (await self._kept(6 * MIB)).tier != storage_pb2.TIER_S3:
            await asyncio.sleep(
                1
            )  # the S3 server has only just started, and was too slow for its first check
        await self.upload(6 * MIB)
        await asyncio.sleep(1)
        return rss_bytes(self._pid)

    async def measured(self, work: Callable[[], Awaitable[object]]) -> Used:
        """What the service's process uses for it."""
        forget_peak(self._pid)
        used, begin = cpu_seconds(self._pid), time.perf_counter()
        await work()
        seconds = time.perf_counter() - begin
        return Used(seconds, cpu_seconds(self._pid) - used, peak_rss_bytes(self._pid))

    async def ingest(self, size: int) -> None:
        """Has it fetch the file of that many bytes."""
        _check(await self._kept(size), size)

    async def _kept(self, size: int) -> storage_pb2.StoredObject:
        request = storage_pb2.IngestRequest(
            run=Run(generation_id=str(uuid4()), lease_token=1),
            owner_id=self._owner,
            media_type=MEDIA_TYPE_VIDEO,
            source=storage_pb2.Source(
                url=f"{self._origin}/{size}.mp4", trusted_origin=self._origin
            ),
            generation_create_time=Timestamp(seconds=int(time.time())),
        )
        stored = None
        async for message in self._stub.Ingest(request, metadata=self._metadata):
            stored = message.object
        assert stored is not None
        return stored

    async def upload(self, size: int) -> None:
        """Sends it that many bytes."""
        header = storage_pb2.UploadHeader(
            run=Run(generation_id=str(uuid4()), lease_token=1),
            owner_id=self._owner,
            media_type=MEDIA_TYPE_VIDEO,
            generation_create_time=Timestamp(seconds=int(time.time())),
        )

        async def messages() -> AsyncIterator[storage_pb2.UploadRequest]:
            yield storage_pb2.UploadRequest(header=header)
            for each in source.pieces(size):
                piece = b"".join(each)
                for start in range(0, len(piece), _CHUNK):
                    yield storage_pb2.UploadRequest(chunk=piece[start : start + _CHUNK])
            commit = storage_pb2.UploadCommit(size_bytes=size, sha256=source.digest(size))
            yield storage_pb2.UploadRequest(commit=commit)

        answer = await self._stub.Upload(messages(), metadata=self._metadata)
        _check(answer.object, size)


def _check(stored: storage_pb2.StoredObject, size: int) -> None:
    # Speed that loses a byte is worth nothing.
    assert stored.tier == storage_pb2.TIER_S3
    assert stored.sha256 == source.digest(size)


def sha256_mib_per_second() -> float:
    """How fast this machine digests, on one core."""
    block, total = bytes(MIB), hashlib.sha256()
    begin = time.process_time()
    for _ in range(200):
        total.update(block)
    return 200 / (time.process_time() - begin)

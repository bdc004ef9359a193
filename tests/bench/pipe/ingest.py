"""Asks the storage service to keep what a URL gives, as the gateway does."""

import time
from uuid import uuid4

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from reelgate.common.v1.media_pb2 import MEDIA_TYPE_VIDEO
from reelgate.common.v1.run_pb2 import Run
from reelgate.storage.v1 import storage_pb2, storage_pb2_grpc
from services.kernel.tokens import Signer


class Ingests:
    """Ingests files of one origin for one owner."""

    def __init__(self, channel: grpc.aio.Channel, signer: Signer, origin: str) -> None:
        self._stub: storage_pb2_grpc.StorageServiceAsyncStub = storage_pb2_grpc.StorageServiceStub(
            channel
        )
        self._origin = origin
        self._owner = str(uuid4())
        token = signer.sign(
            self._owner, audience=["storage"], lifetime_seconds=3600, actor="gateway"
        )
        self._metadata = (("authorization", f"Bearer {token}"),)

    async def ingest(self, name: str, sha256: bytes) -> float:
        """The seconds until the file of that name is kept, in S3 and whole."""
        request = storage_pb2.IngestRequest(
            run=Run(generation_id=str(uuid4()), lease_token=1),
            owner_id=self._owner,
            media_type=MEDIA_TYPE_VIDEO,
            source=storage_pb2.Source(url=f"{self._origin}/{name}", trusted_origin=self._origin),
            generation_create_time=Timestamp(seconds=int(time.time())),
        )
        begin = time.perf_counter()
        stored = None
        async for message in self._stub.Ingest(request, metadata=self._metadata):
            stored = message.object
        seconds = time.perf_counter() - begin
        # Speed that loses a byte is worth nothing.
        assert stored is not None
        assert stored.tier == storage_pb2.TIER_S3
        assert stored.sha256 == sha256
        return seconds

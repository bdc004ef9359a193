"""An administrator of a storage process, for the tests of its settings."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import uuid4

from reelgate.storage.v1 import settings_pb2, settings_pb2_grpc
from services.kernel.grpc_client import make_channel
from services.kernel.status import rpc_errors
from tests.conftest import S3Access
from tests.integration.storage.harness import StorageProcess

# Two keys of 32 bytes, as the service wants them.
KEY_ONE: Final = "one:" + "A" * 43 + "="
KEY_TWO: Final = "two:" + "B" * 42 + "A="


def settings_of(s3: S3Access, **other: Any) -> settings_pb2.S3Settings:
    """Settings that work."""
    values: dict[str, Any] = {
        "enabled": True,
        "endpoint": s3.endpoint,
        "region": s3.region,
        "bucket": s3.bucket,
        "access_key_id": s3.access_key_id,
        "secret_access_key": s3.secret_access_key,
        "prefix": f"{uuid4().hex}/",
        "force_path_style": True,
    }
    return settings_pb2.S3Settings(**{**values, **other})


class Admin:
    """Calls as an administrator; errors are the ReelgateErrors."""

    def __init__(
        self,
        process: StorageProcess,
        stub: "settings_pb2_grpc.StorageSettingsServiceAsyncStub",
        role: str,
    ) -> None:
        self.stub = stub
        token = process.keys.token(uuid4(), role=role)
        self.metadata = (("authorization", f"Bearer {token}"),)

    async def get(self) -> settings_pb2.GetS3SettingsResponse:
        with rpc_errors():
            return await self.stub.GetS3Settings(
                settings_pb2.GetS3SettingsRequest(), metadata=self.metadata
            )

    async def update(
        self, settings: settings_pb2.S3Settings, *, leave: bool = False
    ) -> settings_pb2.S3Settings:
        request = settings_pb2.UpdateS3SettingsRequest(
            settings=settings, leave_objects_behind=leave
        )
        with rpc_errors():
            return (await self.stub.UpdateS3Settings(request, metadata=self.metadata)).settings

    async def reset(self, etag: str, *, leave: bool = False) -> settings_pb2.S3Settings:
        request = settings_pb2.ResetS3SettingsRequest(etag=etag, leave_objects_behind=leave)
        with rpc_errors():
            return (await self.stub.ResetS3Settings(request, metadata=self.metadata)).settings

    async def test(
        self, settings: settings_pb2.S3Settings | None = None, **how: bool
    ) -> dict[str, settings_pb2.TestStep]:
        """The steps of a trial, in their order."""
        request = settings_pb2.TestS3SettingsRequest(settings=settings, **how)
        with rpc_errors():
            call = self.stub.TestS3Settings(request, metadata=self.metadata)
            return {message.step.name: message.step async for message in call}


@asynccontextmanager
async def admin_of(process: StorageProcess, role: str = "admin") -> AsyncIterator[Admin]:
    """An administrator of this process."""
    async with make_channel(f"127.0.0.1:{process.port}") as channel:
        yield Admin(process, settings_pb2_grpc.StorageSettingsServiceStub(channel), role)

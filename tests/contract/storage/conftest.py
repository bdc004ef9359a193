"""The same processes as the integration tests use, and a second S3 server."""

from collections.abc import Iterator

import pytest

from deploy.local.process import running
from tests.conftest import S3Access
from tests.contract.storage.implementations import RCLONE, SEAWEEDFS
from tests.contract.storage.rclone import Rclone
from tests.integration.storage.conftest import (
    bucket,
    client,
    keys,
    make_storage,
    source,
    storage,
)

__all__ = ["bucket", "client", "keys", "make_storage", "source", "storage"]


@pytest.fixture(scope="session")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Access]:
    """A running S3 server of another make, shared: use a key prefix of your own."""
    server = Rclone(tmp_path_factory.mktemp("rclone"))
    with running(server.program()):
        yield server.access


@pytest.fixture(scope="session")
def accesses(s3: S3Access, rclone: S3Access) -> dict[str, S3Access]:
    """The servers by the name of their implementation."""
    return {SEAWEEDFS.name: s3, RCLONE.name: rclone}

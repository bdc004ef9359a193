"""One storage process for the tests that only use it, and a way to start others for those that hurt it."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from deploy.local.postgres import Postgres
from tests.conftest import S3Access
from tests.integration.storage.bucket import Bucket
from tests.integration.storage.harness import Client, Keys, Source, StorageProcess

MakeStorage = Callable[..., StorageProcess]


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="session")
def storage(
    postgres: Postgres, s3: S3Access, keys: Keys, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StorageProcess]:
    """A storage process with both tiers, shared: do not hurt it."""
    name = f"storage_{uuid4().hex}"
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    directory = tmp_path_factory.mktemp("storage")
    process = StorageProcess(directory, postgres.url(name), keys, s3).start()
    yield process
    assert process.stop() == 0
    assert "Traceback" not in process.log.read_text()


@pytest.fixture
def make_storage(database: str, keys: Keys, tmp_path: Path) -> Iterator[MakeStorage]:
    """Starts processes of one's own; all share one database and one local directory."""
    with ExitStack() as stack:

        def make(s3: S3Access | None, **extra: str) -> StorageProcess:
            process = StorageProcess(tmp_path, database, keys, s3, **extra)
            stack.callback(process.kill)
            return process.start()

        yield make


@pytest.fixture
def bucket(storage: StorageProcess, s3: S3Access) -> Iterator[Bucket]:
    """The shared process's part of the bucket."""
    with closing(Bucket(s3, storage.prefix)) as bucket:
        yield bucket


@pytest.fixture
async def client(storage: StorageProcess) -> AsyncIterator[Client]:
    async with storage.client() as client:
        yield client


@pytest.fixture
async def source() -> AsyncIterator[Source]:
    async with Source().running() as source:
        yield source

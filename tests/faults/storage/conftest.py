"""Storage processes for campaigns: real ones, with short leases, each with a part of the bucket for itself."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from deploy.local.postgres import Postgres
from tests.conftest import S3Access
from tests.faults.storage.wire import Wire
from tests.integration.storage.harness import Keys, StorageProcess

MakeStorage = Callable[..., StorageProcess]


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def make_storage(
    postgres: Postgres, keys: Keys, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MakeStorage]:
    """Starts processes, each with a database and a directory of its own."""
    with ExitStack() as stack:

        def make(s3: S3Access | None, **extra: str) -> StorageProcess:
            name = f"faults_{uuid4().hex}"
            with psycopg.connect(postgres.url(), autocommit=True) as connection:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            directory: Path = tmp_path_factory.mktemp("storage")
            process = StorageProcess(directory, postgres.url(name), keys, s3, **extra)
            stack.callback(process.kill)
            return process.start()

        yield make


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    async with Wire.running() as wire:
        yield wire

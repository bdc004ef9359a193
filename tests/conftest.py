"""Real servers for every test that wants one: PostgreSQL and S3, started once for the whole run."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from deploy.local import ports
from deploy.local.postgres import Postgres, new_password
from deploy.local.process import running
from deploy.local.s3 import GRPC_OFFSET, PARTS, REGION, S3

_database_numbers = count(1)


@dataclass(frozen=True, slots=True)
class S3Access:
    """A running S3 server and its one bucket."""

    endpoint: str
    bucket: str
    access_key_id: str
    secret_access_key: str = field(repr=False)
    region: str = REGION


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A running PostgreSQL server; ``postgres.url(database, user, password)`` gives its addresses."""
    server = Postgres(
        directory=tmp_path_factory.mktemp("postgres"),
        port=ports.choose(),
        password=new_password(),
        # Nothing here outlives the run.
        settings={"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"},
    )
    server.prepare()
    with running(server.program(server.directory / "postgres.log")):
        yield server


@pytest.fixture
def database(postgres: Postgres) -> Iterator[str]:
    """The address of a fresh, empty database, as its superuser; dropped after the test."""
    name = f"test_{next(_database_numbers)}"
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield postgres.url(name)
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Access]:
    """A running S3 server with an empty bucket, shared by all tests: use a key prefix of your own."""
    directory: Path = tmp_path_factory.mktemp("s3")
    chosen: dict[str, int] = {}
    for part in PARTS:
        chosen[part] = ports.choose(set(chosen.values()), companion=GRPC_OFFSET)
    server = S3(directory, chosen, access_key_id="tests", secret_access_key=new_password())
    with running(server.program(directory / "s3.log")):
        yield S3Access(
            server.endpoint, server.bucket, server.access_key_id, server.secret_access_key
        )

"""The embedded PostgreSQL server."""

import os
import stat
import tempfile
from pathlib import Path

import psutil
import psycopg
import pytest
from psycopg import sql

from deploy.local import databases, ports
from deploy.local.postgres import Postgres
from deploy.local.process import StartError, running

_PASSWORDS = {"gateway": "g", "storage": "s", "quota": "q"}


@pytest.fixture
def server(tmp_path: Path) -> Postgres:
    made = Postgres(tmp_path / "postgres", ports.choose(), "password")
    made.prepare()
    return made


def test_root_may_start_it_in_a_home_that_nobody_else_can_enter(
    server: Postgres, tmp_path: Path
) -> None:
    tmp_path.chmod(0o700)
    with running(server.program(tmp_path / "log")) as process:
        assert psutil.Process(process.pid).uids().real != 0
        assert server.accepts()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_it_is_reached_over_the_loopback_address_only_and_with_the_password_only(
    server: Postgres, tmp_path: Path
) -> None:
    with running(server.program(tmp_path / "log")) as process:
        listening = {
            (connection.laddr.ip, connection.laddr.port)
            for connection in psutil.Process(process.pid).net_connections("all")
            if connection.status == psutil.CONN_LISTEN
        }
        assert listening == {("127.0.0.1", server.port)}
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(server.url(password="wrong"))


def test_what_was_committed_survives_kill_9(server: Postgres, tmp_path: Path) -> None:
    with running(server.program(tmp_path / "log")) as process:
        with psycopg.connect(server.url()) as connection:
            assert connection.execute("SHOW fsync").fetchone() == ("on",)
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        process.kill()
    server.prepare()
    with running(server.program(tmp_path / "log")), psycopg.connect(server.url()) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_a_lock_file_whose_number_belongs_to_another_program_is_no_obstacle(
    server: Postgres, tmp_path: Path
) -> None:
    (server.data / "postmaster.pid").write_text(f"{os.getpid()}\n")
    server.prepare()
    with running(server.program(tmp_path / "log")):
        assert server.accepts()


def test_an_interrupted_creation_is_done_again(tmp_path: Path) -> None:
    server = Postgres(tmp_path, ports.choose(), "password")
    (tmp_path / "data.unfinished").mkdir()
    (tmp_path / "data.unfinished" / "rest").touch()
    server.prepare()
    assert (server.data / "PG_VERSION").exists()


def test_data_of_another_version_is_refused_with_advice(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "PG_VERSION").write_text("12\n")
    with pytest.raises(StartError, match=r"was made by PostgreSQL 12.*REELGATE_HOME"):
        Postgres(tmp_path, ports.choose(), "password").prepare()


def test_no_service_sees_the_schema_of_another(postgres: Postgres, database: str) -> None:
    for _ in range(2):  # safe to repeat
        databases.create_roles(database, _PASSWORDS)
    for role, password in _PASSWORDS.items():
        with psycopg.connect(databases.address_for(database, role, password)) as own:
            own.execute("CREATE TABLE secret (id int)")
            assert own.execute("SELECT current_schema()").fetchone() == (role,)
    address = databases.address_for(database, "storage", "s")
    for forbidden in (
        "SELECT * FROM gateway.secret",
        "CREATE TABLE gateway.mine ()",
        "CREATE TABLE public.mine ()",
        "CREATE SCHEMA mine",
        "SET ROLE gateway",
    ):
        with (
            psycopg.connect(address) as other,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            other.execute(forbidden.encode())


def test_an_owner_who_is_no_superuser_can_prepare_the_database_too(
    postgres: Postgres, database: str
) -> None:
    name = psycopg.conninfo.conninfo_to_dict(database)["dbname"]
    assert isinstance(name, str)
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute("CREATE ROLE owner LOGIN CREATEROLE PASSWORD 'o'")
        connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO owner").format(sql.Identifier(name)))
    for _ in range(2):
        databases.create_roles(databases.address_for(database, "owner", "o"), {"ours": "x"})
    with psycopg.connect(databases.address_for(database, "ours", "x")) as own:
        own.execute("CREATE TABLE kept ()")
        own.rollback()


def test_a_user_who_may_not_create_roles_is_told_so(postgres: Postgres, database: str) -> None:
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute("CREATE ROLE weak LOGIN PASSWORD 'w'")
    with pytest.raises(StartError, match="DATABASE_URL: cannot prepare the database"):
        databases.create_roles(databases.address_for(database, "weak", "w"), {"fresh": "f"})


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to give privileges up")
def test_root_runs_a_readable_copy_of_an_installation_that_others_cannot_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as public:
        shared = Path(public) / "reelgate"
        Path(public).chmod(0o755)
        monkeypatch.setattr("deploy.local.postgres._SHARED_COPY", shared)
        monkeypatch.setattr("deploy.local.postgres._is_public", lambda _: False)
        server = Postgres(tmp_path, ports.choose(), "password")
        server.prepare()
        program = server.program(tmp_path / "log")
        assert program.argv[0].startswith(str(shared))
        with running(program):
            assert server.accepts()
        assert len(list(shared.iterdir())) == 1

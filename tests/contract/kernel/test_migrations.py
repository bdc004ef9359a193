"""Migrations against a real server: each once, in order, whole or not at all."""

import asyncio
from pathlib import Path

import psycopg
import pytest

from services.kernel.migrations import MigrationError, migrate


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "0001_notes.sql", "CREATE TABLE notes (id integer PRIMARY KEY);")
    write(
        tmp_path,
        "0002_bodies.sql",
        "ALTER TABLE notes ADD COLUMN body text;\n"
        "-- a comment; with a semicolon and 100 %\n"
        "INSERT INTO notes VALUES (1, '50 % done; see %s');",
    )
    return tmp_path


def write(folder: Path, name: str, sql: str) -> None:
    (folder / name).write_text(sql)


def query(database: str, sql: str) -> list[tuple[object, ...]]:
    with psycopg.connect(database, autocommit=True) as connection:
        cursor = connection.execute(sql.encode())
        return cursor.fetchall() if cursor.description else []


VERSIONS = "SELECT version, name FROM schema_migrations ORDER BY version"


async def test_what_is_missing_is_applied_in_order_and_the_second_time_nothing(
    database: str, folder: Path
) -> None:
    assert await migrate(database, folder) == 2
    assert await migrate(database, folder) == 0
    assert query(database, VERSIONS) == [(1, "notes"), (2, "bodies")]
    assert query(database, "SELECT body FROM notes") == [("50 % done; see %s",)]

    write(folder, "0003_more.sql", "INSERT INTO notes VALUES (2, NULL)")
    assert await migrate(database, folder) == 1
    assert query(database, "SELECT count(*) FROM notes") == [(2,)]


async def test_four_runners_at_once_apply_each_migration_once(database: str, folder: Path) -> None:
    write(folder, "0003_slow.sql", "SELECT pg_sleep(0.2); INSERT INTO notes VALUES (2, 'slow')")
    applied = await asyncio.gather(*(migrate(database, folder) for _ in range(4)))
    assert sorted(applied) == [0, 0, 0, 3]
    assert query(database, "SELECT count(*) FROM notes WHERE body = 'slow'") == [(1,)]


async def test_a_file_changed_after_it_was_applied_is_refused_and_nothing_new_is_applied(
    database: str, folder: Path
) -> None:
    await migrate(database, folder)
    write(folder, "0001_notes.sql", "CREATE TABLE notes (id bigint PRIMARY KEY);")
    write(folder, "0003_more.sql", "INSERT INTO notes VALUES (2, NULL)")
    with pytest.raises(MigrationError, match=r"0001 \(notes\) was changed"):
        await migrate(database, folder)
    assert query(database, "SELECT count(*) FROM notes") == [(1,)]


async def test_a_migration_that_fails_leaves_nothing_behind_and_says_which_and_why(
    database: str, folder: Path
) -> None:
    write(
        folder,
        "0003_broken.sql",
        "CREATE TABLE half (id integer); INSERT INTO notes VALUES (1, 'twice');",
    )
    with pytest.raises(MigrationError, match=r"0003 \(broken\) failed: .*duplicate key"):
        await migrate(database, folder)
    assert query(database, VERSIONS) == [(1, "notes"), (2, "bodies")]
    assert query(database, "SELECT to_regclass('half')") == [(None,)]

    write(folder, "0003_broken.sql", "CREATE TABLE half (id integer)")
    assert await migrate(database, folder) == 1


async def test_a_version_of_a_newer_release_does_not_stop_an_older_one(
    database: str, folder: Path
) -> None:
    """A rolling upgrade runs both for a while."""
    await migrate(database, folder)
    (folder / "0002_bodies.sql").unlink()
    assert await migrate(database, folder) == 0


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("0004_gap.sql", "without gaps"),
        ("0002_twice.sql", "without gaps"),
        ("0000_zero.sql", "without gaps"),
        ("3_short.sql", "NNNN_what_it_does"),
        ("0003-dash.sql", "NNNN_what_it_does"),
        ("0003_Upper.sql", "NNNN_what_it_does"),
    ],
)
async def test_a_gap_or_a_bad_name_is_refused_before_anything_is_touched(
    database: str, folder: Path, name: str, says: str
) -> None:
    write(folder, name, "SELECT 1")
    with pytest.raises(MigrationError, match=says):
        await migrate(database, folder)
    assert query(database, "SELECT to_regclass('schema_migrations')") == [(None,)]


async def test_two_services_in_schemas_of_their_own_do_not_see_each_other(
    database: str, folder: Path
) -> None:
    for schema in ("one", "two"):
        query(database, f"CREATE SCHEMA {schema}")
    urls = [f"{database}?options=-csearch_path%3D{schema}" for schema in ("one", "two")]
    assert await asyncio.gather(*(migrate(url, folder) for url in urls)) == [2, 2]
    for schema in ("one", "two"):
        assert query(database, f"SELECT count(*) FROM {schema}.notes") == [(1,)]

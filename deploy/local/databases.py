"""The database `reelgate` and, in it, a schema and a role for each service; none sees another's."""

from collections.abc import Mapping
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
from psycopg import sql

from deploy.local.process import StartError

DATABASE = "reelgate"


def create_database(url: str) -> None:
    """Create the database on the server at ``url`` (a superuser's address) unless it exists."""
    with psycopg.connect(url, autocommit=True) as connection:
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,))
        if found.fetchone() is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))


def create_roles(url: str, passwords: Mapping[str, str]) -> None:
    """Give each service its role and a schema of the same name, in the database at ``url``.

    ``passwords`` maps the role's name to its password, which is set anew each time. Safe to repeat. The user
    of ``url`` needs to be the database's owner and may create roles. Raises StartError.
    """
    try:
        with psycopg.connect(url) as connection:
            database = sql.Identifier(connection.info.dbname)
            connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
            for role, password in passwords.items():
                _create_role(connection, database, role, password)
    except psycopg.Error as error:
        raise StartError(f"DATABASE_URL: cannot prepare the database: {error}") from error


def _create_role(
    connection: psycopg.Connection, database: sql.Identifier, name: str, password: str
) -> None:
    role = sql.Identifier(name)
    known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,)).fetchone()
    statements = [
        "ALTER ROLE {role} LOGIN PASSWORD {password}"
        if known
        else "CREATE ROLE {role} LOGIN PASSWORD {password}",
        # Who is no superuser may hand a schema only to a role it belongs to.
        "GRANT {role} TO CURRENT_USER",
        "GRANT CONNECT ON DATABASE {database} TO {role}",
        "CREATE SCHEMA IF NOT EXISTS {role} AUTHORIZATION {role}",
        "ALTER ROLE {role} IN DATABASE {database} SET search_path = {role}",
    ]
    for statement in statements:
        connection.execute(
            sql.SQL(statement).format(role=role, database=database, password=sql.Literal(password))
        )


def address_for(url: str, user: str, password: str) -> str:
    """The same database for another user; host, port, name and options stay."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{user}:{quote(password, safe='')}@{place}"))

"""A backup of a database, and its restore: every row of every table, as of one moment."""

from typing import Self

import psycopg
from psycopg import sql

_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tablename <> 'schema_migrations'"


class Backup:
    """The rows, as COPY writes them."""

    def __init__(self, rows: dict[str, bytes]) -> None:
        self._rows = rows

    @classmethod
    def of(cls, url: str) -> Self:
        """Takes one; whoever writes meanwhile is not disturbed."""
        rows: dict[str, bytes] = {}
        with psycopg.connect(url) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            for (table,) in connection.execute(_TABLES).fetchall():
                statement = sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(table))
                with connection.cursor().copy(statement) as copy:
                    rows[table] = b"".join(bytes(block) for block in copy)
        return cls(rows)

    def restore(self, url: str) -> None:
        """Puts it in place of what is there."""
        with psycopg.connect(url) as connection:
            for table, rows in self._rows.items():
                name = sql.Identifier(table)
                connection.execute(sql.SQL("DELETE FROM {}").format(name))
                with connection.cursor().copy(sql.SQL("COPY {} FROM STDIN").format(name)) as copy:
                    copy.write(rows)

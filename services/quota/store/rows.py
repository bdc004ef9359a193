"""How rows are fetched."""

from typing import TypeVar

from psycopg import AsyncCursor

RowT = TypeVar("RowT")


async def only(cursor: AsyncCursor[RowT]) -> RowT:
    """The row of a statement that always gives one."""
    row = await cursor.fetchone()
    assert row is not None, "the statement always gives a row"  # noqa: S101 - it is ours
    return row

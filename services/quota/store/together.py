"""Calls that come at the same time go together: one statement, so one transaction and one round trip, for many of them.

Alone a call costs PostgreSQL and us more for being asked and answered than for being decided. Each is decided for
itself, and answered when all of them are committed.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

import psycopg
from psycopg.rows import tuple_row

from services.kernel.postgres import Pool
from services.kernel.runtime import Background

T = TypeVar("T")

# Enough to share the cost, and locks are soon given back.
MOST_TOGETHER: Final = 50
# At the least between two statements. Whoever comes alone does not wait; of many, several come meanwhile.
_PACE_SECONDS: Final = 0.004
_LIMIT_SECONDS: Final = 30.0


@dataclass(eq=False, slots=True)
class _Call(Generic[T]):
    """One call. Without an owner nobody knows yet whose row it is going to lock."""

    owner: UUID | None
    values: Sequence[object]
    answer: asyncio.Future[T] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def give(self, answer: T) -> None:
        """Whoever went away is not told."""
        if not self.answer.done():
            self.answer.set_result(answer)

    def fail(self, error: BaseException) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class Together(Generic[T]):
    """The calls of one statement.

    It takes the `constants`, then an array for each of a call's values, and gives for each call a row: its place in the
    arrays, counted from 1, and what `make` makes an answer of.
    """

    def __init__(
        self,
        pool: Pool,
        work: Background,
        statement: str,
        constants: Sequence[object],
        make: Callable[..., T],
    ) -> None:
        self._pool = pool
        self._work = work
        self._statement = statement
        self._constants = constants
        self._make = make
        self._waiting: deque[_Call[T]] = deque()
        self._is_busy = False
        self._last = 0.0

    async def ask(self, owner: UUID | None, *values: object) -> T:
        """What becomes of a call that changes what `owner` holds (None: whoever's it is).

        Raises what the statement raises, and TimeoutError after 30 s.
        """
        call: _Call[T] = _Call(owner, values)
        self._waiting.append(call)
        if not self._is_busy:
            self._is_busy = True
            self._work.start(self._serve())
        return await call.answer

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                early = self._last + _PACE_SECONDS - loop.time()
                if early > 0:
                    await asyncio.sleep(early)
                self._last = loop.time()
                if calls := self._next():
                    await self._answer(calls)
        finally:
            self._is_busy = False

    def _next(self) -> Sequence[_Call[T]]:
        """Those that go now, by owner: locks are taken in one order everywhere, so that nobody waits in a circle."""
        calls: list[_Call[T]] = []
        while self._waiting and len(calls) < MOST_TOGETHER:
            if self._waiting[0].owner is None and calls:
                break
            call = self._waiting.popleft()
            if call.answer.done():  # its caller went away
                continue
            calls.append(call)
            if call.owner is None:
                break
        return sorted(calls, key=lambda call: call.owner or UUID(int=0))

    async def _answer(self, calls: Sequence[_Call[T]]) -> None:
        try:
            await self._ask(calls)
        except Exception as error:  # noqa: BLE001 - whoever asked is told
            # Refused by the database, for one of them was at fault: nothing of any was kept.
            if len(calls) > 1 and isinstance(error, psycopg.Error) and error.sqlstate is not None:
                for call in calls:
                    await self._answer([call])
                return
            for call in calls:
                call.fail(error)
        except BaseException:
            for call in calls:
                call.answer.cancel()
            raise

    async def _ask(self, calls: Sequence[_Call[T]]) -> None:
        columns = (list(column) for column in zip(*(call.values for call in calls), strict=True))
        async with asyncio.timeout(_LIMIT_SECONDS), self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=tuple_row)
            await cursor.execute(self._statement, (*self._constants, *columns))
            rows: list[tuple[Any, ...]] = await cursor.fetchall()
        for place, *row in rows:
            calls[place - 1].give(self._make(*row))

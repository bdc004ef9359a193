"""SQL of credits. Each call that moves some is one statement, so one transaction."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from psycopg.rows import args_row, scalar_row

from services.kernel.postgres import Pool
from services.quota.credits import CreditAnswer, Credits, CreditVerdict, Grant, Kind, Transaction
from services.quota.model import LARGEST_AMOUNT
from services.quota.store.rows import only

# What stands for the run where a request's hold is the cause, see the ledger's columns.
_HOLD_RUN: Final = -1
_COLUMNS: Final = "verdict, user_id, balance, held, spent"
_WELCOME: Final = f"SELECT {_COLUMNS} FROM welcome(%s, %s)"
_GRANT: Final = f"SELECT {_COLUMNS} FROM grant_credits(%s, %s, %s, %s, %s, %s, %s)"
_HOLD: Final = f"SELECT {_COLUMNS} FROM hold_credits(%s, %s, %s, %s, %s)"
_CAPTURE: Final = f"SELECT {_COLUMNS} FROM capture_hold(%s, %s)"
_RELEASE: Final = f"SELECT {_COLUMNS} FROM release_hold(%s, %s, %s)"
_REFUND_EXPIRED: Final = "SELECT refund_expired(%s)"
_GET: Final = """
SELECT u.user_id, coalesce(s.is_welcomed, false), coalesce(s.balance, 0), coalesce(s.held, 0), coalesce(s.spent, 0)
FROM (SELECT %s::uuid AS user_id) u LEFT JOIN subjects s ON s.user_id = u.user_id
"""
_LIST: Final = """
SELECT user_id, seq, kind::text, balance_before, balance_after, held_before, held_after, cause_id, run, reason, actor,
       create_time
FROM ledger
WHERE user_id = %(user_id)s AND (%(before)s::bigint IS NULL OR seq < %(before)s)
ORDER BY seq DESC
LIMIT %(limit)s
"""


class CreditStore:
    """The books of credits. `new_user_credits` is what a user is given when he is first seen, once."""

    def __init__(self, pool: Pool, new_user_credits: int = 0) -> None:
        self._pool = pool
        self._new_user_credits = new_user_credits

    async def get(self, user_id: UUID) -> tuple[Credits, bool]:
        """A user's credits (0 for one never heard of), and whether he has been given what new users get."""
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=args_row(_standing))
            await cursor.execute(_GET, (user_id,))
            return await only(cursor)

    async def welcome(self, user_id: UUID) -> CreditAnswer:
        """Gives a new user what new users get, once."""
        return await self._decide(_WELCOME, (user_id, self._new_user_credits))

    async def grant(self, grant: Grant) -> CreditAnswer:
        """Gives credits or takes them back, or tells why not."""
        return await self._decide(
            _GRANT,
            (
                grant.user_id,
                grant.amount,
                grant.request_id,
                grant.reason,
                grant.actor,
                self._new_user_credits,
                LARGEST_AMOUNT,
            ),
        )

    async def hold(
        self, request_id: UUID, user_id: UUID, credits_: int, life: timedelta
    ) -> CreditAnswer:
        """Sets credits aside, or tells why not."""
        return await self._decide(
            _HOLD, (request_id, user_id, credits_, life, self._new_user_credits)
        )

    async def capture(self, request_id: UUID, user_id: UUID) -> CreditAnswer:
        """Spends what a request holds, or tells why not."""
        return await self._decide(_CAPTURE, (request_id, user_id))

    async def release(self, request_id: UUID, user_id: UUID) -> CreditAnswer:
        """Gives back what a request holds and leaves a tombstone, or tells why not."""
        return await self._decide(_RELEASE, (request_id, user_id, self._new_user_credits))

    async def refund_expired(self, limit: int) -> int:
        """Refunds at most `limit` holds that expired; how many. 0 also while another process does it."""
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=scalar_row)
            await cursor.execute(_REFUND_EXPIRED, (limit,))
            return int(await only(cursor))

    async def transactions(
        self, user_id: UUID, before: int | None, limit: int
    ) -> Sequence[Transaction]:
        """The last `limit` entries of a user whose numbers lie below `before`, newest first."""
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=args_row(_transaction))
            await cursor.execute(_LIST, {"user_id": user_id, "before": before, "limit": limit})
            return await cursor.fetchall()

    async def _decide(self, statement: str, values: Sequence[object]) -> CreditAnswer:
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=args_row(_answer))
            await cursor.execute(statement, values)
            return await only(cursor)


def _standing(user_id: UUID, is_welcomed: bool, *figures: int) -> tuple[Credits, bool]:
    return Credits(user_id, *figures), is_welcomed


def _answer(verdict: str, user_id: UUID | None, *figures: int) -> CreditAnswer:
    credits_ = None if user_id is None else Credits(user_id, *figures)
    return CreditAnswer(CreditVerdict(verdict), credits_)


def _transaction(
    user_id: UUID,
    number: int,
    kind: str,
    balance_before: int,
    balance_after: int,
    held_before: int,
    held_after: int,
    cause_id: UUID,
    run: int,
    *rest: Any,
) -> Transaction:
    of_run = run >= 0
    of_request = run == _HOLD_RUN or (not of_run and cause_id != user_id)
    return Transaction(
        user_id,
        number,
        Kind(kind),
        balance_before,
        balance_after,
        held_before,
        held_after,
        cause_id if of_run else None,
        run if of_run else 0,
        cause_id if of_request else None,
        *rest,
    )

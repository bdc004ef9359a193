"""The rules of credits: who may move them, which amounts make sense, what a verdict of the books means."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

from prometheus_client import Counter

from services.kernel.context import Caller, caller, require_service
from services.kernel.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ReelgateError,
)
from services.quota.asking import (
    check_amount,
    insufficient,
    page_of,
    require_admin_or_service_for,
    require_service_for,
    user_of,
    visible_user,
)
from services.quota.credits import CreditAnswer, Credits, CreditVerdict, Grant, Transaction
from services.quota.model import LARGEST_AMOUNT
from services.quota.store.credits import CreditStore

CREDITS_TOTAL: Final = Counter(
    "reelgate_quota_credits_total", "Credits moved other than by runs, by call", ("call",)
)
CREDITS_REFUSED_TOTAL: Final = Counter(
    "reelgate_quota_credits_refused_total", "Calls that moved no credits, by reason", ("reason",)
)
EXPIRED_TOTAL: Final = Counter(
    "reelgate_quota_holds_expired_total", "Holds refunded because nobody ended them in time"
)

_LONGEST_REASON: Final = 500
_SHORTEST_HOLD: Final = timedelta(seconds=1)
_LONGEST_HOLD: Final = timedelta(hours=24)
_EXPIRED_BATCH: Final = 200


class Ledger:
    """Everything that is done with credits but by runs. Whoever calls is told by `kernel.context`."""

    def __init__(self, store: CreditStore) -> None:
        self._store = store

    async def get(self, user_id: UUID | None) -> Credits:
        """What a user (None: the caller) has. Raises PermissionDenied for somebody else's."""
        wanted = visible_user(user_id)
        credits_, is_welcomed = await self._store.get(wanted)
        if is_welcomed or not _speaks_for(caller(), wanted):
            return credits_
        return _accepted(await self._store.welcome(wanted))

    async def transactions(
        self, user_id: UUID | None, before: int | None, page_size: int
    ) -> tuple[Sequence[Transaction], int | None]:
        """A page of the ledger, newest first, and the number before which the next begins (None: this is the last)."""
        size = page_of(page_size)
        credits_ = await self.get(user_id)
        entries = await self._store.transactions(credits_.user_id, before, size + 1)
        more = len(entries) > size
        return entries[:size], entries[size - 1].number if more else None

    async def grant(self, user_id: UUID, amount: int, reason: str, request_id: UUID) -> Credits:
        """Gives credits, or takes them back when negative; what the user has after it.

        Raises FailedPrecondition (INSUFFICIENT_CREDITS, TOO_MANY_CREDITS), AlreadyExists (REQUEST_MISMATCH).
        """
        who = require_admin_or_service_for(user_id)
        check_amount(abs(amount), "amount", least=1)
        reason = reason.strip()
        if not 0 < len(reason) <= _LONGEST_REASON or "\x00" in reason:
            raise InvalidArgument(
                f"Give a reason of 1 to {_LONGEST_REASON} characters.", field="reason"
            )
        actor = who.subject if who.is_admin else who.actor
        answer = await self._store.grant(Grant(user_id, amount, request_id, reason, actor))
        if answer.verdict is CreditVerdict.POOR and answer.credits is not None:
            # Not "pay first" but "that much is not there".
            short = insufficient(answer.credits.balance, -amount)
            raise _counted(
                FailedPrecondition(short.message, reason=short.reason, metadata=short.metadata)
            )
        return self._moved("grant", answer, abs(amount))

    async def hold(
        self, request_id: UUID, user_id: UUID, amount: int, life: timedelta
    ) -> tuple[Credits, bool]:
        """Sets credits aside for a request; what the user has after it, and whether they had been before.

        Raises ResourceExhausted (INSUFFICIENT_CREDITS), FailedPrecondition (HOLD_ENDED), AlreadyExists
        (REQUEST_MISMATCH).
        """
        require_service_for(user_id)
        check_amount(amount, "credits", least=1)
        if not _SHORTEST_HOLD <= life <= _LONGEST_HOLD:
            raise InvalidArgument("A hold lasts 1 second to 24 hours.", field="ttl")
        answer = await self._store.hold(request_id, user_id, amount, life)
        if answer.verdict is CreditVerdict.POOR and answer.credits is not None:
            raise _counted(insufficient(answer.credits.balance, amount))
        credits_ = self._moved("hold", answer, amount)
        return credits_, answer.verdict is CreditVerdict.REPLAYED

    async def capture(self, request_id: UUID) -> Credits:
        """Spends what a request holds. Raises NotFound, FailedPrecondition (HOLD_ENDED)."""
        answer = await self._store.capture(request_id, user_of(require_service()))
        return self._moved("capture", answer)

    async def release(self, request_id: UUID) -> Credits:
        """Gives back what a request holds, for ever. Raises NotFound, FailedPrecondition (HOLD_CAPTURED)."""
        answer = await self._store.release(request_id, user_of(require_service()))
        return self._moved("release", answer)

    async def refund_expired(self) -> int:
        """Refunds holds that nobody ended in time; how many.

        Replicas may do it at once: one works, the others find nothing to do.
        """
        refunded = 0
        while count := await self._store.refund_expired(_EXPIRED_BATCH):
            refunded += count
            EXPIRED_TOTAL.inc(count)
        return refunded

    def _moved(self, call: str, answer: CreditAnswer, amount: int = 0) -> Credits:
        credits_ = _accepted(answer)
        if answer.verdict is CreditVerdict.DONE:
            CREDITS_TOTAL.labels(call).inc(amount)
        return credits_


def _speaks_for(who: Caller, user_id: UUID) -> bool:
    """Whether this token proves that there is such a user: he holds it, or a service does for him."""
    return who.subject == str(user_id)


def _accepted(answer: CreditAnswer) -> Credits:
    if answer.credits is None or answer.verdict not in (CreditVerdict.DONE, CreditVerdict.REPLAYED):
        raise _counted(_refusal(answer.verdict))
    return answer.credits


def _counted(error: ReelgateError) -> ReelgateError:
    CREDITS_REFUSED_TOTAL.labels(error.reason).inc()
    return error


def _refusal(verdict: CreditVerdict) -> ReelgateError:
    match verdict:
        case CreditVerdict.EXCESSIVE:
            return FailedPrecondition(
                f"Nobody may have been given more than {LARGEST_AMOUNT} credits.",
                reason="TOO_MANY_CREDITS",
            )
        case CreditVerdict.MISMATCH:
            return AlreadyExists(
                "This request id is on the books with other values.", reason="REQUEST_MISMATCH"
            )
        case CreditVerdict.CAPTURED:
            return FailedPrecondition("What it held is spent.", reason="HOLD_CAPTURED")
        case CreditVerdict.RELEASED:
            return FailedPrecondition("This hold has been released.", reason="HOLD_ENDED")
        case CreditVerdict.EXPIRED:
            return FailedPrecondition("This hold has expired.", reason="HOLD_ENDED")
        case _:
            return NotFound("There is no such hold.")

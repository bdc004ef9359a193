"""The rules of runs and byte quotas: who may ask, which amounts make sense, what a verdict of the books means."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final, NoReturn
from uuid import UUID

from prometheus_client import Counter

from services.kernel.context import Caller, require_admin, require_service
from services.kernel.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ReelgateError,
    ResourceExhausted,
)
from services.quota.asking import (
    check_amount,
    insufficient,
    require_service_for,
    user_of,
    visible_user,
)
from services.quota.model import (
    UNLIMITED,
    Answer,
    GroupLimit,
    LimitTarget,
    Outcome,
    Quota,
    Run,
    Verdict,
)
from services.quota.store.quotas import QuotaStore

ADMITTED_TOTAL: Final = Counter(
    "reelgate_quota_admitted_total", "Runs admitted, repeats not counted"
)
SAVES_TOTAL: Final = Counter(
    "reelgate_quota_saves_total", "Runs admitted again to be saved, repeats not counted"
)
SETTLED_TOTAL: Final = Counter(
    "reelgate_quota_settled_total", "Runs settled, repeats not counted, by outcome", ("outcome",)
)
RELEASED_TOTAL: Final = Counter(
    "reelgate_quota_released_total", "Runs released, repeats not counted"
)
ABANDONED_TOTAL: Final = Counter(
    "reelgate_quota_abandoned_total", "Reservations given up because nobody ended them in time"
)
REFUSED_TOTAL: Final = Counter(
    "reelgate_quota_refused_total", "Calls refused, by call and reason", ("call", "reason")
)
BYTES_TOTAL: Final = Counter(
    "reelgate_quota_bytes_total",
    "Bytes moved, by call (admit, admit_save, settle, release)",
    ("call",),
)

# Longer than any generation lives: 60 minutes of work, then 24 hours of waiting for a late result.
ABANDONED_AFTER: Final = timedelta(hours=48)
_ABANDONED_BATCH: Final = 200


class QuotaService:
    """Everything the service does. Whoever calls is told by `kernel.context`."""

    def __init__(self, store: QuotaStore) -> None:
        self._store = store

    async def get(self, user_id: UUID | None) -> Quota:
        """How a user (None: the caller) stands. Raises PermissionDenied for somebody else's."""
        wanted = visible_user(user_id)
        return await self._store.get(wanted)

    async def admit(
        self, run: Run, user_id: UUID, reserve_bytes: int, price_credits: int
    ) -> tuple[Quota, bool]:
        """Reserves bytes and holds credits for a run; the quota after it, and whether it had been admitted before.

        Raises ResourceExhausted (INSUFFICIENT_CREDITS, QUOTA_EXCEEDED), FailedPrecondition
        (RUN_ENDED), AlreadyExists (RUN_MISMATCH).
        """
        require_service_for(user_id)
        if run.lease_token != 0:
            raise InvalidArgument(
                "A run is admitted before a worker claims it.", field="run.lease_token"
            )
        check_amount(reserve_bytes, "reserve_bytes")
        check_amount(price_credits, "price_credits")
        answer = await self._store.admit(run, user_id, reserve_bytes, price_credits)
        quota = _accepted("admit", answer)
        if answer.verdict is Verdict.DONE:
            ADMITTED_TOTAL.inc()
        return quota, answer.verdict is Verdict.REPLAYED

    async def admit_save(self, run: Run, user_id: UUID, reserve_bytes: int) -> tuple[Quota, bool]:
        """Reserves bytes for a result that settled as not kept; as `admit`, but no credits are asked for again.

        Raises ResourceExhausted (QUOTA_EXCEEDED), NotFound for a run never admitted, FailedPrecondition
        (RUN_ENDED, STALE_LEASE), AlreadyExists (RUN_MISMATCH).
        """
        require_service_for(user_id)
        check_amount(reserve_bytes, "reserve_bytes")
        answer = await self._store.admit_save(run, user_id, reserve_bytes)
        quota = _accepted("admit_save", answer)
        if answer.verdict is Verdict.DONE:
            SAVES_TOTAL.inc()
        return quota, answer.verdict is Verdict.REPLAYED

    async def settle(self, run: Run, stored_bytes: int, outcome: Outcome) -> Quota:
        """Turns the reservation into bytes used, what is held into credits spent; the quota after it.

        Raises ResourceExhausted (QUOTA_EXCEEDED) when what exceeds the reservation does not fit,
        NotFound for a run never admitted or of another user, FailedPrecondition (RUN_ENDED,
        STALE_LEASE), AlreadyExists (RUN_MISMATCH).
        """
        owner = _owner_for(require_service())
        check_amount(stored_bytes, "stored_bytes")
        if outcome is Outcome.NOT_KEPT and stored_bytes != 0:
            raise InvalidArgument("What is not kept has no bytes.", field="stored_bytes")
        answer = await self._store.settle(run, owner, stored_bytes, outcome)
        quota = _accepted("settle", answer)
        if answer.verdict is Verdict.DONE:
            SETTLED_TOTAL.labels(outcome).inc()
        return quota

    async def release(self, run: Run, user_id: UUID | None) -> Quota:
        """Frees whatever the run holds, for ever, and refunds it if it did not settle; the quota after it.

        `user_id` is needed for a run never admitted. Raises NotFound for a run of another user,
        FailedPrecondition (STALE_LEASE).
        """
        own = _owner_for(require_service())
        if own is not None and user_id is not None and own != user_id:
            raise PermissionDenied("The token speaks for another user.")
        owner = user_id or own
        answer = await self._store.release(run, owner)
        if answer.verdict is Verdict.UNKNOWN and owner is None:
            raise InvalidArgument("This run was never admitted: say whose it is.", field="user_id")
        quota = _accepted("release", answer)
        if answer.verdict is Verdict.DONE:
            RELEASED_TOTAL.inc()
        return quota

    async def set_subject(self, user_id: UUID, group_id: UUID | None, version: int) -> None:
        """Remembers a user's group; an older version than the last one seen is ignored."""
        require_service()
        if version < 0:
            raise InvalidArgument("A version is not negative.", field="version")
        await self._store.set_subject(user_id, group_id, version)

    async def set_limit(
        self, target: LimitTarget, target_id: UUID | None, quota_bytes: int
    ) -> None:
        """Sets a limit in bytes: 0 = not set, -1 = unlimited. It may be below what is used."""
        require_admin()
        if quota_bytes != UNLIMITED:
            check_amount(quota_bytes, "quota_bytes")
        await self._store.set_limit(target, target_id, quota_bytes)

    async def limits(self) -> tuple[int, Sequence[GroupLimit]]:
        """The default in force in bytes (0 = none, -1 = unlimited), and the limits of groups by id."""
        require_admin()
        return await self._store.limits()

    async def release_abandoned(self) -> int:
        """Gives up reservations that nobody ended within 48 hours; how many.

        Replicas may do it at once: one works, the others find nothing to do.
        """
        released = 0
        while count := await self._store.release_abandoned(ABANDONED_AFTER, _ABANDONED_BATCH):
            released += count
            ABANDONED_TOTAL.inc(count)
        return released


def _accepted(call: str, answer: Answer) -> Quota:
    """The figures after the call. Raises what the verdict means when it is a refusal."""
    if answer.quota is None or answer.verdict not in (Verdict.DONE, Verdict.REPLAYED):
        _refuse(call, answer)
    BYTES_TOTAL.labels(call).inc(answer.amount)
    return answer.quota


def _refuse(call: str, answer: Answer) -> NoReturn:
    error = _refusal(answer)
    REFUSED_TOTAL.labels(call, error.reason).inc()
    raise error


def _refusal(answer: Answer) -> ReelgateError:
    match answer.verdict:
        case Verdict.EXCEEDED if answer.quota is not None:
            return _exceeded(answer.quota, answer.amount)
        case Verdict.POOR:
            return insufficient(answer.balance, answer.amount)
        case Verdict.STALE:
            return FailedPrecondition(
                "Another worker has taken this run over.", reason="STALE_LEASE"
            )
        case Verdict.ENDED:
            return FailedPrecondition("This run has been released.", reason="RUN_ENDED")
        case Verdict.MISMATCH:
            return AlreadyExists(
                "This run is on the books with other values.", reason="RUN_MISMATCH"
            )
        case _:
            return NotFound("There is no such run.")


def _exceeded(quota: Quota, requested: int) -> ResourceExhausted:
    return ResourceExhausted(
        f"The storage quota is full: {requested} bytes are needed, "
        f"{max(0, quota.available_bytes)} of {quota.quota_bytes} are left.",
        reason="QUOTA_EXCEEDED",
        metadata={
            "used": str(quota.used_bytes),
            "reserved": str(quota.reserved_bytes),
            "quota": str(quota.quota_bytes),
            "requested": str(requested),
        },
    )


def _owner_for(who: Caller) -> UUID | None:
    """Whose runs the caller may end: his own, or (None) anyone's when he is an administrator."""
    return None if who.is_admin else user_of(who)

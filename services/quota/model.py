"""The nouns of runs and byte quotas. Bytes, where not said otherwise; as a limit 0 means "not set", -1 "unlimited"."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from services.quota.credits import Credits

UNLIMITED: Final = -1
# Of bytes (8 PiB) and of credits: every larger number is a mistake, and up to here JavaScript counts exactly.
LARGEST_AMOUNT: Final = 2**53


class Source(StrEnum):
    """Where the limit in force comes from."""

    USER = "user"
    GROUP = "group"
    DEFAULT = "default"
    UNLIMITED = "unlimited"


class Outcome(StrEnum):
    """How a run ended that brought a result."""

    KEPT = "kept"
    NOT_KEPT = "not_kept"


class Verdict(StrEnum):
    """What became of a call that carries a run."""

    DONE = "done"
    REPLAYED = "replayed"
    EXCEEDED = "exceeded"
    POOR = "poor"
    MISMATCH = "mismatch"
    ENDED = "ended"
    STALE = "stale"
    UNKNOWN = "unknown"


class LimitTarget(StrEnum):
    """What a limit can be set for."""

    USER = "user"
    GROUP = "group"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one generation, and the fencing token of whoever acts for it (0 before a worker did)."""

    generation_id: UUID
    number: int
    lease_token: int = 0


@dataclass(frozen=True, slots=True)
class Quota:
    """How a user stands at one moment."""

    user_id: UUID
    quota_bytes: int
    used_bytes: int
    reserved_bytes: int
    source: Source

    @property
    def available_bytes(self) -> int:
        """What may still be admitted, never negative; -1 when there is no limit."""
        if self.quota_bytes == UNLIMITED:
            return UNLIMITED
        return max(0, self.quota_bytes - self.used_bytes - self.reserved_bytes)


@dataclass(frozen=True, slots=True)
class Answer:
    """The verdict on a call, and how the user stands after it.

    `amount` is the bytes it moved; the bytes it wanted when exceeded, the credits when poor. `balance` is in credits.
    """

    verdict: Verdict
    amount: int
    quota: Quota | None
    balance: int = 0


@dataclass(frozen=True, slots=True)
class Usage:
    """How a user stands, since when (None: never heard of), his own limit, and his credits."""

    quota: Quota
    limit_bytes: int
    credits: Credits
    update_time: datetime | None


@dataclass(frozen=True, slots=True)
class GroupLimit:
    """The limit of a group."""

    group_id: UUID
    quota_bytes: int


@dataclass(frozen=True, slots=True)
class DailyUsage:
    """What became of the runs of one user that were admitted on one day (UTC)."""

    user_id: UUID
    day: date
    runs: int
    kept: int
    delivered: int
    failed: int
    kept_bytes: int
    spent_credits: int


@dataclass(frozen=True, slots=True)
class RunBytes:
    """What storage holds of a run."""

    generation_id: UUID
    number: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class RunDrift:
    """A kept run whose bytes are recorded otherwise than storage has them."""

    generation_id: UUID
    number: int
    recorded_bytes: int
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class Recount:
    """What the books say of a user, and what counting says. Bytes, then credits."""

    user_id: UUID
    runs: tuple[RunDrift, ...]
    recorded_used: int
    counted_used: int
    unaccounted: int
    recorded_reserved: int
    counted_reserved: int
    recorded_balance: int
    counted_balance: int
    recorded_held: int
    counted_held: int
    open_holds: int
    recorded_spent: int
    counted_spent: int

    @property
    def is_repairable(self) -> bool:
        """Whether what is open and the ledger agree; else no counting tells which is right."""
        return self.counted_held == self.open_holds

    @property
    def has_drifted(self) -> bool:
        """Whether any figure of the books is not what was counted."""
        return bool(self.runs) or not (
            self.is_repairable
            and self.recorded_used == self.counted_used
            and self.recorded_reserved == self.counted_reserved
            and self.recorded_balance == self.counted_balance
            and self.recorded_held == self.counted_held
            and self.recorded_spent == self.counted_spent
        )

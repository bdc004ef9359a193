"""The nouns of credits. Amounts are whole credits."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class CreditVerdict(StrEnum):
    """What became of a call that moves credits."""

    DONE = "done"
    REPLAYED = "replayed"
    POOR = "poor"
    EXCESSIVE = "excessive"
    MISMATCH = "mismatch"
    CAPTURED = "captured"
    RELEASED = "released"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


class Kind(StrEnum):
    """Why credits moved."""

    GRANT = "grant"
    CORRECTION = "correction"
    HOLD = "hold"
    CAPTURE = "capture"
    REFUND = "refund"


@dataclass(frozen=True, slots=True)
class Credits:
    """What a user can spend, what is held of it, and what he spent."""

    user_id: UUID
    balance: int
    held: int
    total_spent: int

    @property
    def total_earned(self) -> int:
        """All that was issued to him: it lies in one of the three, wherever it moved meanwhile."""
        return self.balance + self.held + self.total_spent


@dataclass(frozen=True, slots=True)
class CreditAnswer:
    """The verdict on a call, and the credits after it (None: the user is not known)."""

    verdict: CreditVerdict
    credits: Credits | None


@dataclass(frozen=True, slots=True)
class Grant:
    """Credits given, or taken back when negative."""

    user_id: UUID
    amount: int
    request_id: UUID
    reason: str
    actor: str


@dataclass(frozen=True, slots=True)
class Transaction:
    """One entry of the ledger. A run of a generation caused it, or a request, or (the welcome) neither."""

    user_id: UUID
    number: int
    kind: Kind
    balance_before: int
    balance_after: int
    held_before: int
    held_after: int
    generation_id: UUID | None
    run: int
    request_id: UUID | None
    reason: str
    actor: str
    create_time: datetime


@dataclass(frozen=True, slots=True)
class Price:
    """What one medium of a model costs from a moment on (None: from now). 0 seconds: an image, or any duration."""

    model: str
    duration_seconds: int
    credits: int
    effective_time: datetime | None

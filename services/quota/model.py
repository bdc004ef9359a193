"""The nouns of byte quotas. Amounts are bytes; 0 as a limit means "not set", -1 "unlimited"."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

UNLIMITED: Final = -1
# 8 PiB: every larger number is a mistake, and up to here JavaScript counts exactly.
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
    """The verdict on a call, the bytes it moved (when exceeded: wanted), and how the user stands after it."""

    verdict: Verdict
    amount_bytes: int
    quota: Quota | None


@dataclass(frozen=True, slots=True)
class Usage:
    """How a user stands, and since when."""

    quota: Quota
    update_time: datetime

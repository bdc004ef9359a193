"""Byte quotas in memory, written from the contract alone: what the real books must agree with."""

from dataclasses import dataclass, field

UNLIMITED = -1


@dataclass
class Subject:
    """A user."""

    own_limit: int = 0
    group: str | None = None
    version: int = 0
    used: int = 0
    reserved: int = 0


@dataclass
class Reservation:
    """A run."""

    user: str
    state: str
    token: int = 0
    reserve: int = 0
    price: int = 0
    stored: int = 0
    outcome: str = ""


@dataclass
class Oracle:
    """Every call returns "done", "replayed" or the reason of its refusal."""

    default_limit: int = 0
    group_limits: dict[str, int] = field(default_factory=dict)
    subjects: dict[str, Subject] = field(default_factory=dict)
    runs: dict[tuple[int, int], Reservation] = field(default_factory=dict)

    def subject(self, user: str) -> Subject:
        return self.subjects.setdefault(user, Subject())

    def limit(self, user: str) -> tuple[int, str]:
        """The limit in force and where it comes from."""
        subject = self.subject(user)
        for limit, source in (
            (subject.own_limit, "user"),
            (self.group_limits.get(subject.group or "", 0), "group"),
            (self.default_limit, "default"),
        ):
            if limit == UNLIMITED:
                return UNLIMITED, "unlimited"
            if limit:
                return limit, source
        return UNLIMITED, "unlimited"

    def fits(self, user: str, delta: int) -> bool:
        limit, _ = self.limit(user)
        subject = self.subject(user)
        return delta <= 0 or limit == UNLIMITED or subject.used + subject.reserved + delta <= limit

    def admit(self, run: tuple[int, int], user: str, reserve: int, price: int) -> str:
        known = self.runs.get(run)
        if known is not None:
            if known.user != user:
                return "RUN_MISMATCH"
            if known.state == "released":
                return "RUN_ENDED"
            same = (known.reserve, known.price) == (reserve, price)
            return "replayed" if same else "RUN_MISMATCH"
        if not self.fits(user, reserve):
            return "QUOTA_EXCEEDED"
        self.runs[run] = Reservation(user, "reserved", reserve=reserve, price=price)
        self.subject(user).reserved += reserve
        return "done"

    def settle(self, run: tuple[int, int], token: int, user: str, stored: int, outcome: str) -> str:
        known = self.runs.get(run)
        if known is None or known.user != user:
            return "NOT_FOUND"
        if token < known.token:
            return "STALE_LEASE"
        known.token = token
        if known.state == "released":
            return "RUN_ENDED"
        if known.state == "settled":
            same = (known.stored, known.outcome) == (stored, outcome)
            return "replayed" if same else "RUN_MISMATCH"
        if not self.fits(user, stored - known.reserve):
            return "QUOTA_EXCEEDED"
        known.state, known.stored, known.outcome = "settled", stored, outcome
        self.subject(user).reserved -= known.reserve
        self.subject(user).used += stored
        return "done"

    def release(self, run: tuple[int, int], token: int, user: str) -> str:
        known = self.runs.get(run)
        if known is None:
            self.runs[run] = Reservation(user, "released", token=token)
            return "done"
        if known.user != user:
            return "NOT_FOUND"
        if token < known.token:
            return "STALE_LEASE"
        known.token = token
        if known.state == "released":
            return "replayed"
        if known.state == "reserved":
            self.subject(user).reserved -= known.reserve
        else:
            self.subject(user).used -= known.stored
        known.state = "released"
        return "done"

    def set_subject(self, user: str, group: str | None, version: int) -> None:
        subject = self.subject(user)
        if version >= subject.version:
            subject.group, subject.version = group, version

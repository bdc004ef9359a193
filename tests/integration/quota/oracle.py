"""Byte quotas and credits in memory, written from the contract alone: what the real books must agree with."""

from dataclasses import dataclass, field

UNLIMITED = -1
WELCOME = 20
MOST = 2**53


@dataclass
class Subject:
    """A user."""

    own_limit: int = 0
    group: str | None = None
    version: int = 0
    used: int = 0
    reserved: int = 0
    is_welcomed: bool = False
    balance: int = 0
    held: int = 0
    spent: int = 0
    entries: list[tuple[str, int]] = field(default_factory=list)

    def move(self, kind: str, amount: int) -> None:
        """Writes an entry."""
        if amount == 0:
            return
        self.entries.append((kind, amount))
        match kind:
            case "hold":
                self.balance, self.held = self.balance - amount, self.held + amount
            case "capture":
                self.held, self.spent = self.held - amount, self.spent + amount
            case "refund":
                self.held, self.balance = self.held - amount, self.balance + amount
            case "grant":
                self.balance += amount
            case "correction":
                self.balance -= amount

    def welcome(self) -> None:
        if not self.is_welcomed:
            self.is_welcomed = True
            self.move("grant", WELCOME)


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
    save: int | None = None
    is_admitted: bool = True

    @property
    def holds_bytes(self) -> int:
        return self.reserve if self.save is None else self.save


@dataclass
class Hold:
    """Credits set aside for a request."""

    user: str
    state: str
    credits: int = 0


@dataclass
class Oracle:
    """Every call returns "done", "replayed" or the reason of its refusal."""

    default_limit: int = 0
    group_limits: dict[str, int] = field(default_factory=dict)
    subjects: dict[str, Subject] = field(default_factory=dict)
    runs: dict[tuple[int, int], Reservation] = field(default_factory=dict)
    holds: dict[int, Hold] = field(default_factory=dict)
    grants: dict[int, tuple[str, int]] = field(default_factory=dict)

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
        subject = self.subject(user)
        subject.welcome()
        known = self.runs.get(run)
        if known is not None:
            if known.user != user:
                return "RUN_MISMATCH"
            if known.state == "released":
                return "RUN_ENDED"
            same = (known.reserve, known.price) == (reserve, price)
            return "replayed" if same else "RUN_MISMATCH"
        if price > subject.balance:
            return "INSUFFICIENT_CREDITS"
        if not self.fits(user, reserve):
            return "QUOTA_EXCEEDED"
        self.runs[run] = Reservation(user, "reserved", reserve=reserve, price=price)
        subject.reserved += reserve
        subject.move("hold", price)
        return "done"

    def admit_save(self, run: tuple[int, int], token: int, user: str, reserve: int) -> str:
        known = self.runs.get(run)
        if known is None or known.user != user:
            return "NOT_FOUND"
        if token < known.token:
            return "STALE_LEASE"
        is_new = token > known.token
        if known.state == "settled" and known.outcome == "not_kept" and is_new:
            if not self.fits(user, reserve):
                return "QUOTA_EXCEEDED"
            known.state, known.save, known.token = "reserved", reserve, token
            self.subject(user).reserved += reserve
            return "done"
        known.token = token
        if known.state == "released":
            return "RUN_ENDED"
        return "replayed" if known.save == reserve else "RUN_MISMATCH"

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
        if not self.fits(user, stored - known.holds_bytes):
            return "QUOTA_EXCEEDED"
        known.state, known.stored, known.outcome = "settled", stored, outcome
        self.subject(user).reserved -= known.holds_bytes
        self.subject(user).used += stored
        if known.save is None:
            self.subject(user).move("capture", known.price)
        return "done"

    def release(self, run: tuple[int, int], token: int, user: str) -> str:
        known = self.runs.get(run)
        if known is None:
            self.runs[run] = Reservation(user, "released", token=token, is_admitted=False)
            return "done"
        if known.user != user:
            return "NOT_FOUND"
        if token < known.token:
            return "STALE_LEASE"
        known.token = token
        if known.state == "released":
            return "replayed"
        if known.state == "reserved":
            self.subject(user).reserved -= known.holds_bytes
            if known.save is None:
                self.subject(user).move("refund", known.price)
        else:
            self.subject(user).used -= known.stored
        known.state = "released"
        return "done"

    def abandon(self) -> int:
        """Everything that is open is two days old."""
        open_runs = [run for run in self.runs.values() if run.state == "reserved"]
        for run in open_runs:
            subject = self.subject(run.user)
            subject.reserved -= run.holds_bytes
            if run.save is None:
                subject.move("refund", run.price)
            run.state = "released" if run.save is None else "settled"
        return len(open_runs)

    def became(self, user: str) -> tuple[int, int, int, int, int, int]:
        """Of the user's runs: all, kept, delivered, failed; bytes kept, credits spent."""
        runs = [run for run in self.runs.values() if run.user == user and run.is_admitted]
        kept = [run for run in runs if run.state == "settled" and run.outcome == "kept"]
        settled_once = [run for run in runs if run.outcome]
        failed = [run for run in runs if run.state == "released" and not run.outcome]
        return (
            len(runs),
            len(kept),
            len(settled_once) - len(kept),
            len(failed),
            sum(run.stored for run in kept),
            sum(run.price for run in settled_once),
        )

    def grant(self, request: int, user: str, amount: int) -> str:
        subject = self.subject(user)
        subject.welcome()
        if request in self.grants:
            return "replayed" if self.grants[request] == (user, amount) else "REQUEST_MISMATCH"
        if subject.balance + amount < 0:
            return "INSUFFICIENT_CREDITS"
        if subject.balance + subject.held + subject.spent + amount > MOST:
            return "TOO_MANY_CREDITS"
        self.grants[request] = (user, amount)
        subject.move("grant" if amount > 0 else "correction", abs(amount))
        return "done"

    def hold(self, request: int, user: str, amount: int) -> str:
        subject = self.subject(user)
        subject.welcome()
        known = self.holds.get(request)
        if known is not None:
            if known.user != user:
                return "REQUEST_MISMATCH"
            if known.state == "released":
                return "HOLD_ENDED"
            return "replayed" if known.credits == amount else "REQUEST_MISMATCH"
        if amount > subject.balance:
            return "INSUFFICIENT_CREDITS"
        self.holds[request] = Hold(user, "held", amount)
        subject.move("hold", amount)
        return "done"

    def capture(self, request: int, user: str) -> str:
        known = self.holds.get(request)
        if known is None or known.user != user:
            return "NOT_FOUND"
        if known.state != "held":
            return "replayed" if known.state == "captured" else "HOLD_ENDED"
        known.state = "captured"
        self.subject(user).move("capture", known.credits)
        return "done"

    def release_hold(self, request: int, user: str) -> str:
        self.subject(user).welcome()
        known = self.holds.setdefault(request, Hold(user, "released"))
        if known.user != user:
            return "NOT_FOUND"
        if known.state == "captured":
            return "HOLD_CAPTURED"
        if known.state == "held":
            known.state = "released"
            self.subject(user).move("refund", known.credits)
        return "done"

    def expire(self) -> int:
        """Everything that is held has expired."""
        open_holds = [hold for hold in self.holds.values() if hold.state == "held"]
        for hold in open_holds:
            hold.state = "released"
            self.subject(hold.user).move("refund", hold.credits)
        return len(open_holds)

    def set_subject(self, user: str, group: str | None, version: int) -> None:
        subject = self.subject(user)
        if version >= subject.version:
            subject.group, subject.version = group, version

"""The service on real PostgreSQL agrees with an oracle, in any order of calls that are repeated, late, lost or crash
(G1-G3, G5, G7).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from services.kernel import context
from services.kernel.errors import ReelgateError
from services.kernel.ids import new_id
from services.kernel.postgres import Pool, open_pool
from services.kernel.runtime import background
from services.quota.books import Books
from services.quota.credits import Credits
from services.quota.model import DailyUsage, LimitTarget, Outcome, Quota, Run
from services.quota.store.credits import CreditStore
from tests.integration.quota.books import drift
from tests.integration.quota.oracle import WELCOME, Oracle

USERS = ("ann", "bob")
GROUPS = ("red", "blue")

users = st.sampled_from(USERS)
groups = st.sampled_from(GROUPS)
# Few of everything, so that calls meet: the same run, the same token, the same amount.
runs = st.tuples(st.integers(0, 3), st.integers(0, 1))
requests = st.integers(0, 3)
tokens = st.integers(0, 3)
amounts = st.sampled_from([0, 1, 5, 5, 10, 40])
prices = st.sampled_from([0, 3, 3, 8, 30])
limits = st.sampled_from([0, -1, 5, 20, 50])
outcomes = st.sampled_from(Outcome)
# What becomes of a call: its answer arrives; it is lost, so the call is repeated; the database dies before the end.
fates = st.sampled_from(["answered"] * 4 + ["lost", "crashed"])


class Crashed(Exception):
    """The connection broke before the statement was committed."""


class CrashingPool:
    """Connections of a pool of which no statement is ever committed."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        async with (
            self._pool.connection() as connection,
            connection.transaction(force_rollback=True),
        ):
            yield connection
        raise Crashed


class Real:
    """The service, in an event loop of its own."""

    def __init__(self, url: str) -> None:
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self.pool: Pool = self.run(
            self._stack.enter_async_context(open_pool(url, min_size=1, max_size=2))
        )
        work = self.run(self._stack.enter_async_context(background()))
        crashing = cast("Pool", CrashingPool(self.pool))
        self.books = Books.on(self.pool, work, new_user_credits=WELCOME)
        self.crashing = Books.on(crashing, work, new_user_credits=WELCOME)
        self.credit_store = CreditStore(self.pool)

    def run(self, work: Coroutine[Any, Any, Any], subject: str = "", role: str = "user") -> Any:
        """The result of `work`, done by the gateway for `subject` (who may be an administrator)."""

        async def as_gateway() -> Any:
            context.set_caller(context.Caller(subject, role, "gateway", frozenset(), expires_at=0))
            return await work

        return self._runner.run(as_gateway())

    def execute(self, *statements: str) -> None:
        async def work() -> None:
            async with self.pool.connection() as connection:
                for statement in statements:
                    await connection.execute(statement)

        self.run(work())

    def clear(self) -> None:
        """Not even the ledger's guard stops a superuser who means it."""
        self.execute(
            "SET session_replication_role = replica",
            "TRUNCATE subjects, reservations, holds, ledger, group_limits",
            "SET session_replication_role = origin",
            "UPDATE default_limit SET quota_bytes = 0",
        )

    def close(self) -> None:
        self._runner.run(self._stack.aclose())
        self._runner.close()


@pytest.fixture
def real(books: str) -> Iterator[Real]:
    real = Real(books)
    yield real
    real.close()


Call = Callable[[Books], Coroutine[Any, Any, Any]]


class Comparison(RuleBasedStateMachine):
    """Every rule makes one call on both sides and compares the answers; the invariant compares the figures."""

    real: Real
    made: int
    """Calls of all histories."""

    def __init__(self) -> None:
        super().__init__()
        self.real.clear()
        self.oracle = Oracle()
        self.ids: dict[object, UUID] = {}

    def id_of(self, name: object) -> UUID:
        return self.ids.setdefault(name, new_id())

    def run_of(self, run: tuple[int, int], token: int = 0) -> Run:
        return Run(self.id_of(run[0]), run[1], token)

    def compare(
        self, user: str, fate: str, call: Call, expect: Callable[[], str], *, tells: bool = False
    ) -> Any:
        """Makes the call. `tells`: its answer says whether it was a repeat."""
        type(self).made += 1
        if fate == "crashed":
            # A refusal is decided by nothing that was committed, so it may come first.
            with pytest.raises((Crashed, ReelgateError)):
                self.ask(call(self.real.crashing), user)
            return
        if fate == "lost":
            expect()
            with suppress(ReelgateError):
                self.ask(call(self.real.books), user)
        expected = expect()
        try:
            result = self.ask(call(self.real.books), user)
        except ReelgateError as error:
            assert error.reason == expected
            return
        figures, replayed = result if isinstance(result, tuple) else (result, False)
        assert expected in ("done", "replayed")
        assert not tells or replayed == (expected == "replayed")
        self.agrees(user, figures)

    def ask(self, call: Coroutine[Any, Any, Any], user: str) -> Any:
        return self.real.run(call, subject=str(self.id_of(user)))

    @rule(run=runs, user=users, reserve=amounts, price=prices, fate=fates)
    def admit(self, run: tuple[int, int], user: str, reserve: int, price: int, fate: str) -> None:
        self.compare(
            user,
            fate,
            lambda books: books.runs.admit(self.run_of(run), self.id_of(user), reserve, price),
            lambda: self.oracle.admit(run, user, reserve, price),
            tells=True,
        )

    @rule(run=runs, token=tokens, user=users, reserve=amounts, fate=fates)
    def admit_save(
        self, run: tuple[int, int], token: int, user: str, reserve: int, fate: str
    ) -> None:
        self.compare(
            user,
            fate,
            lambda books: books.runs.admit_save(self.run_of(run, token), self.id_of(user), reserve),
            lambda: self.oracle.admit_save(run, token, user, reserve),
            tells=True,
        )

    @rule(run=runs, token=tokens, user=users, stored=amounts, outcome=outcomes, fate=fates)
    def settle(
        self,
        run: tuple[int, int],
        token: int,
        user: str,
        stored: int,
        outcome: Outcome,
        fate: str,
    ) -> None:
        stored = stored if outcome is Outcome.KEPT else 0
        self.compare(
            user,
            fate,
            lambda books: books.runs.settle(self.run_of(run, token), stored, outcome),
            lambda: self.oracle.settle(run, token, user, stored, outcome),
        )

    @rule(run=runs, token=tokens, user=users, fate=fates)
    def release(self, run: tuple[int, int], token: int, user: str, fate: str) -> None:
        self.compare(
            user,
            fate,
            lambda books: books.runs.release(self.run_of(run, token), self.id_of(user)),
            lambda: self.oracle.release(run, token, user),
        )

    @rule(request=requests, user=users, amount=st.sampled_from([1, 10, -1, -10, 2**53]), fate=fates)
    def grant(self, request: int, user: str, amount: int, fate: str) -> None:
        request_id = self.id_of(("request", request))
        self.compare(
            user,
            fate,
            lambda books: books.ledger.grant(self.id_of(user), amount, "why", request_id),
            lambda: self.oracle.grant(request, user, amount),
        )

    @rule(request=requests, user=users, amount=st.sampled_from([1, 4, 4, 25]), fate=fates)
    def hold(self, request: int, user: str, amount: int, fate: str) -> None:
        request_id, life = self.id_of(("request", request)), timedelta(hours=1)
        self.compare(
            user,
            fate,
            lambda books: books.ledger.hold(request_id, self.id_of(user), amount, life),
            lambda: self.oracle.hold(request, user, amount),
            tells=True,
        )

    @rule(request=requests, user=users, fate=fates)
    def capture(self, request: int, user: str, fate: str) -> None:
        request_id = self.id_of(("request", request))
        self.compare(
            user,
            fate,
            lambda books: books.ledger.capture(request_id),
            lambda: self.oracle.capture(request, user),
        )

    @rule(request=requests, user=users, fate=fates)
    def release_hold(self, request: int, user: str, fate: str) -> None:
        request_id = self.id_of(("request", request))
        self.compare(
            user,
            fate,
            lambda books: books.ledger.release(request_id),
            lambda: self.oracle.release_hold(request, user),
        )

    @rule(chance=st.integers(0, 4))
    def time_passes(self, chance: int) -> None:
        """Now and then nobody ends anything for two days."""
        if chance:
            return
        self.real.execute(
            """
            UPDATE reservations
            SET create_time = create_time - interval '49 hours', save_time = save_time - interval '49 hours'
            """,
            "UPDATE holds SET expire_time = expire_time - interval '49 hours'",
        )
        assert self.real.run(self.real.books.runs.release_abandoned()) == self.oracle.abandon()
        assert self.real.run(self.real.books.ledger.refund_expired()) == self.oracle.expire()

    @rule(user=users, quota=limits)
    def limit_user(self, user: str, quota: int) -> None:
        self.oracle.subject(user).own_limit = quota
        self.set_limit(LimitTarget.USER, self.id_of(user), quota)

    @rule(group=groups, quota=limits)
    def limit_group(self, group: str, quota: int) -> None:
        self.oracle.group_limits[group] = quota
        self.set_limit(LimitTarget.GROUP, self.id_of(group), quota)

    @rule(quota=limits)
    def limit_default(self, quota: int) -> None:
        self.oracle.default_limit = quota
        self.set_limit(LimitTarget.DEFAULT, None, quota)

    def set_limit(self, target: LimitTarget, target_id: UUID | None, quota: int) -> None:
        self.real.run(self.real.books.runs.set_limit(target, target_id, quota), role="admin")

    @rule(user=users, group=st.none() | groups, version=st.integers(0, 5))
    def set_subject(self, user: str, group: str | None, version: int) -> None:
        self.oracle.set_subject(user, group, version)
        group_id = self.id_of(group) if group else None
        self.real.run(self.real.books.runs.set_subject(self.id_of(user), group_id, version))

    def agrees(self, user: str, figures: Quota | Credits) -> None:
        subject, user_id = self.oracle.subject(user), self.id_of(user)
        if isinstance(figures, Credits):
            assert figures == Credits(user_id, subject.balance, subject.held, subject.spent)
            return
        limit, source = self.oracle.limit(user)
        assert figures == Quota(user_id, limit, subject.used, subject.reserved, figures.source)
        assert figures.source == source

    @invariant()
    def the_figures_agree(self) -> None:
        for user in USERS:
            user_id = self.id_of(user)
            self.agrees(user, self.real.run(self.real.books.runs.get(user_id)))
            credits_, is_welcomed = self.real.run(self.real.credit_store.get(user_id))
            self.agrees(user, credits_)
            assert is_welcomed == self.oracle.subject(user).is_welcomed

    def teardown(self) -> None:
        """What the rows of runs, holds and ledger add up to is what the users' rows say."""
        assert self.real.run(drift(self.real.pool)) == []
        for user in USERS:
            told = self.real.run(self.real.credit_store.transactions(self.id_of(user), None, 1000))
            moved = [
                (
                    entry.kind.value,
                    max(
                        abs(entry.balance_after - entry.balance_before),
                        abs(entry.held_after - entry.held_before),
                    ),
                )
                for entry in reversed(told)
            ]
            assert moved == self.oracle.subject(user).entries
            assert self.days_of(user) == self.oracle.became(user)

    def days_of(self, user: str) -> tuple[int, ...]:
        """What the user's days add up to, asked for one after the other."""
        last = datetime.now(UTC).date() + timedelta(days=1)
        user_id, after = self.id_of(user), None
        found: list[DailyUsage] = []
        while True:
            days, after = self.ask(
                self.real.books.reporting.days(
                    user_id, last - timedelta(days=365), last, after, page_size=2
                ),
                user,
            )
            found += days
            if after is None:
                break
        assert [usage.day for usage in found] == sorted({usage.day for usage in found})
        figures = ("runs", "kept", "delivered", "failed", "kept_bytes", "spent_credits")
        return tuple(sum(getattr(usage, name) for usage in found) for name in figures)


def compare(real: Real, *, examples: int, steps: int, seed: int | None = None) -> int:
    """Makes that many histories of up to that many calls; returns how many calls were made."""
    machine: type[Comparison] = type("Comparison", (Comparison,), {"real": real, "made": 0})
    run_state_machine_as_test(
        machine if seed is None else hypothesis.seed(seed)(machine),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            # A seed stands for itself: nothing that was found elsewhere is tried, and it is repeated as it is.
            database=None,
            phases=tuple(Phase) if seed is None else (Phase.generate,),
            suppress_health_check=list(HealthCheck),
        ),
    )
    return machine.made


def test_g2_g3_g7_any_order_of_calls_agrees_with_the_oracle(real: Real) -> None:
    assert compare(real, examples=30, steps=60) > 30

"""The service on real PostgreSQL agrees with an oracle, in any order of calls and repeats (G1-G3, G5)."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from services.kernel import context
from services.kernel.errors import ReelgateError
from services.kernel.ids import new_id
from services.kernel.postgres import Pool, open_pool
from services.quota.model import LimitTarget, Outcome, Quota, Run
from services.quota.service import QuotaService
from services.quota.store import Store
from tests.integration.quota.oracle import Oracle

USERS = ("ann", "bob")
GROUPS = ("red", "blue")

users = st.sampled_from(USERS)
groups = st.sampled_from(GROUPS)
# Few of everything, so that calls meet: the same run, the same token, the same amount.
runs = st.tuples(st.integers(0, 3), st.integers(0, 1))
tokens = st.integers(0, 3)
amounts = st.sampled_from([0, 1, 5, 5, 10, 40])
limits = st.sampled_from([0, -1, 5, 20, 50])
outcomes = st.sampled_from(Outcome)


class Real:
    """The service, in an event loop of its own."""

    def __init__(self, url: str) -> None:
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self.pool: Pool = self.run(
            self._stack.enter_async_context(open_pool(url, min_size=1, max_size=2))
        )
        self.service = QuotaService(Store(self.pool))

    def run(self, work: Coroutine[Any, Any, Any], subject: str = "", role: str = "user") -> Any:
        """The result of `work`, done by the gateway for `subject`."""

        async def as_gateway() -> Any:
            context.set_caller(context.Caller(subject, role, "gateway", frozenset(), expires_at=0))
            return await work

        return self._runner.run(as_gateway())

    def clear(self) -> None:
        async def work() -> None:
            async with self.pool.connection() as connection:
                await connection.execute("TRUNCATE subjects, reservations, group_limits")
                await connection.execute("UPDATE default_limit SET quota_bytes = 0")

        self.run(work())

    def close(self) -> None:
        self._runner.run(self._stack.aclose())
        self._runner.close()


@pytest.fixture
def real(books: str) -> Iterator[Real]:
    real = Real(books)
    yield real
    real.close()


class Books(RuleBasedStateMachine):
    """Every rule makes one call on both sides and compares the answers; the invariant compares the figures."""

    real: Real

    def __init__(self) -> None:
        super().__init__()
        self.real.clear()
        self.oracle = Oracle()
        self.ids: dict[object, UUID] = {}

    def id_of(self, name: object) -> UUID:
        return self.ids.setdefault(name, new_id())

    def run_of(self, run: tuple[int, int], token: int = 0) -> Run:
        return Run(self.id_of(run[0]), run[1], token)

    def answer(self, call: Coroutine[Any, Any, Any], user: str) -> tuple[str, Quota | None]:
        try:
            result = self.real.run(call, subject=str(self.id_of(user)))
        except ReelgateError as error:
            return error.reason, None
        if isinstance(result, tuple):
            quota, replayed = result
            return "replayed" if replayed else "done", quota
        return "done", result

    @rule(run=runs, user=users, reserve=amounts, price=st.sampled_from([0, 0, 0, 3]))
    def admit(self, run: tuple[int, int], user: str, reserve: int, price: int) -> None:
        expected = self.oracle.admit(run, user, reserve, price)
        call = self.real.service.admit(self.run_of(run), self.id_of(user), reserve, price)
        said, quota = self.answer(call, user)
        assert said == expected
        self.agrees(user, quota)

    @rule(run=runs, token=tokens, user=users, stored=amounts, outcome=outcomes)
    def settle(
        self, run: tuple[int, int], token: int, user: str, stored: int, outcome: Outcome
    ) -> None:
        stored = stored if outcome is Outcome.KEPT else 0
        expected = self.oracle.settle(run, token, user, stored, outcome)
        call = self.real.service.settle(self.run_of(run, token), stored, outcome)
        said, quota = self.answer(call, user)
        assert said == ("done" if expected == "replayed" else expected)
        self.agrees(user, quota)

    @rule(run=runs, token=tokens, user=users)
    def release(self, run: tuple[int, int], token: int, user: str) -> None:
        expected = self.oracle.release(run, token, user)
        call = self.real.service.release(self.run_of(run, token), self.id_of(user))
        said, quota = self.answer(call, user)
        assert said == ("done" if expected == "replayed" else expected)
        self.agrees(user, quota)

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
        self.real.run(self.real.service.set_limit(target, target_id, quota))

    @rule(user=users, group=st.none() | groups, version=st.integers(0, 5))
    def set_subject(self, user: str, group: str | None, version: int) -> None:
        self.oracle.set_subject(user, group, version)
        group_id = self.id_of(group) if group else None
        self.real.run(self.real.service.set_subject(self.id_of(user), group_id, version))

    def agrees(self, user: str, quota: Quota | None) -> None:
        if quota is None:
            return
        subject = self.oracle.subject(user)
        limit, source = self.oracle.limit(user)
        assert quota == Quota(self.id_of(user), limit, subject.used, subject.reserved, quota.source)
        assert quota.source == source

    @invariant()
    def the_figures_agree(self) -> None:
        for user in USERS:
            self.agrees(user, self.real.run(self.real.service.get(self.id_of(user))))

    def teardown(self) -> None:
        """What the rows of the runs add up to is what the users' rows say."""
        assert self.real.run(drift(self.real.pool)) == []


async def drift(pool: Pool) -> list[Any]:
    """Users whose figures are not the sum of their runs."""
    async with pool.connection() as connection:
        cursor = await connection.execute(
            """
            SELECT s.user_id, s.used_bytes, s.reserved_bytes
            FROM subjects s LEFT JOIN reservations r USING (user_id)
            GROUP BY s.user_id
            HAVING s.used_bytes <> coalesce(sum(r.stored_bytes) FILTER (WHERE r.state = 'settled'), 0)
                OR s.reserved_bytes <> coalesce(sum(r.reserved_bytes) FILTER (WHERE r.state = 'reserved'), 0)
            """
        )
        return await cursor.fetchall()


def test_g2_g3_any_order_of_calls_agrees_with_the_oracle(real: Real) -> None:
    Books.real = real
    run_state_machine_as_test(
        Books,
        settings=settings(
            max_examples=25,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )

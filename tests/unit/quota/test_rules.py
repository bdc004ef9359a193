"""The rules of the service without its books: what is refused before they are opened, and what a verdict becomes."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, cast
from uuid import UUID

import pytest
from prometheus_client import REGISTRY

from services.kernel.context import Caller, set_caller
from services.kernel.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ReelgateError,
    ResourceExhausted,
    Unauthenticated,
)
from services.quota.model import Answer, Outcome, Quota, Recount, Run, RunDrift, Source, Verdict
from services.quota.service import QuotaService
from services.quota.store.quotas import QuotaStore

ANN, BOB = UUID(int=1), UUID(int=2)
RUN = Run(UUID(int=3), 0)
QUOTA = Quota(ANN, quota_bytes=100, used_bytes=70, reserved_bytes=20, source=Source.USER)


@dataclass
class SayingBooks:
    """Books that always give the same answer."""

    answer: Answer

    async def admit(self, *_: Any) -> Answer:
        return self.answer

    admit_save = settle = release = admit


def service(verdict: Verdict, amount: int = 0, quota: Quota | None = QUOTA) -> QuotaService:
    return QuotaService(cast("QuotaStore", SayingBooks(Answer(verdict, amount, quota))))


def closed() -> QuotaService:
    """A service whose books nobody may open."""
    return QuotaService(cast("QuotaStore", None))


def be(subject: UUID | str = ANN, *, role: str = "user", actor: str = "gateway") -> None:
    set_caller(Caller(str(subject), role, actor, frozenset(), expires_at=0))


@pytest.fixture(autouse=True)
def nobody() -> Iterator[None]:
    set_caller(None)
    yield
    set_caller(None)


@pytest.mark.parametrize(
    ("quota", "used", "reserved", "available"),
    [(100, 70, 20, 10), (100, 100, 0, 0), (100, 90, 70, 0), (-1, 10**12, 5, -1)],
)
def test_g6_available_is_what_is_left_and_never_negative(
    quota: int, used: int, reserved: int, available: int
) -> None:
    assert Quota(ANN, quota, used, reserved, Source.USER).available_bytes == available


async def test_nobody_is_answered_without_a_token() -> None:
    with pytest.raises(Unauthenticated):
        await closed().get(None)


async def test_a_user_acts_for_no_run_not_even_his_own() -> None:
    be(ANN, actor="")
    for call in (
        closed().admit(RUN, ANN, 1, 0),
        closed().settle(RUN, 1, Outcome.KEPT),
        closed().release(RUN, ANN),
        closed().set_subject(ANN, None, 1),
    ):
        with pytest.raises(PermissionDenied):
            await call


async def test_a_service_token_admits_for_its_subject_only() -> None:
    be(BOB)
    with pytest.raises(PermissionDenied):
        await closed().admit(RUN, ANN, 1, 0)
    be(BOB, role="admin")
    with pytest.raises(PermissionDenied):
        await closed().admit(RUN, ANN, 1, 0)


@pytest.mark.parametrize("amount", [-1, 2**53 + 1, -(2**63), 2**63 - 1])
async def test_amounts_that_can_not_be_meant_are_refused(amount: int) -> None:
    be()
    for call, field in (
        (closed().admit(RUN, ANN, amount, 0), "reserve_bytes"),
        (closed().admit(RUN, ANN, 0, amount), "price_credits"),
        (closed().settle(RUN, amount, Outcome.KEPT), "stored_bytes"),
    ):
        with pytest.raises(InvalidArgument) as refused:
            await call
        assert refused.value.field == field


@pytest.mark.parametrize("amount", [0, 2**53])
async def test_the_smallest_and_the_largest_amount_are_fine(amount: int) -> None:
    be()
    await service(Verdict.DONE).admit(RUN, ANN, amount, amount)


async def test_g5_what_is_not_kept_has_no_bytes() -> None:
    be()
    with pytest.raises(InvalidArgument) as refused:
        await closed().settle(RUN, 1, Outcome.NOT_KEPT)
    assert refused.value.field == "stored_bytes"


@pytest.mark.parametrize(
    ("verdict", "error", "reason"),
    [
        (Verdict.EXCEEDED, ResourceExhausted, "QUOTA_EXCEEDED"),
        (Verdict.POOR, ResourceExhausted, "INSUFFICIENT_CREDITS"),
        (Verdict.MISMATCH, AlreadyExists, "RUN_MISMATCH"),
        (Verdict.ENDED, FailedPrecondition, "RUN_ENDED"),
        (Verdict.STALE, FailedPrecondition, "STALE_LEASE"),
    ],
)
async def test_each_verdict_has_its_error(
    verdict: Verdict, error: type[ReelgateError], reason: str
) -> None:
    be()
    for call in (
        service(verdict).admit(RUN, ANN, 11, 0),
        service(verdict).admit_save(RUN, ANN, 11),
        service(verdict).settle(RUN, 11, Outcome.KEPT),
        service(verdict).release(RUN, ANN),
    ):
        with pytest.raises(error) as refused:
            await call
        assert refused.value.reason == reason


async def test_a_run_nobody_knows_is_not_found() -> None:
    be()
    with pytest.raises(NotFound):
        await service(Verdict.UNKNOWN, quota=None).settle(RUN, 1, Outcome.KEPT)


async def test_a_full_quota_is_told_with_its_figures() -> None:
    be()
    with pytest.raises(ResourceExhausted, match="11 bytes are needed, 10 of 100 are left") as full:
        await service(Verdict.EXCEEDED, amount=11).admit(RUN, ANN, 11, 0)
    assert full.value.metadata == {
        "used": "70",
        "reserved": "20",
        "quota": "100",
        "requested": "11",
    }


@pytest.mark.parametrize(
    ("changes", "has_drifted", "is_repairable"),
    [
        ({}, False, True),
        ({"counted_used": 11}, True, True),
        ({"counted_reserved": 3}, True, True),
        ({"counted_balance": 99}, True, True),
        ({"recorded_held": 6}, True, True),
        ({"recorded_spent": 1}, True, True),
        ({"runs": (RunDrift(RUN.generation_id, 0, 1, 2),)}, True, True),
        ({"open_holds": 6}, True, False),
        ({"unaccounted": 10**9}, False, True),
    ],
)
def test_g9_any_figure_that_differs_is_drift_and_contradictions_are_not_repaired(
    changes: dict[str, Any], has_drifted: bool, is_repairable: bool
) -> None:
    same = Recount(ANN, (), 10, 10, 0, 2, 2, 100, 100, 5, 5, 5, 7, 7)
    counted = replace(same, **changes)
    assert (counted.has_drifted, counted.is_repairable) == (has_drifted, is_repairable)


async def test_a_repeat_is_answered_but_not_counted() -> None:
    be()
    before = counted("reelgate_quota_admitted_total")
    assert await service(Verdict.REPLAYED).admit(RUN, ANN, 1, 0) == (QUOTA, True)
    assert counted("reelgate_quota_admitted_total") == before
    assert await service(Verdict.DONE, 1).admit(RUN, ANN, 1, 0) == (QUOTA, False)
    assert counted("reelgate_quota_admitted_total") == before + 1


async def test_a_refusal_is_counted_with_its_reason() -> None:
    be()
    labels = {"call": "settle", "reason": "STALE_LEASE"}
    before = counted("reelgate_quota_refused_total", labels)
    with pytest.raises(FailedPrecondition):
        await service(Verdict.STALE).settle(RUN, 1, Outcome.KEPT)
    assert counted("reelgate_quota_refused_total", labels) == before + 1


def counted(metric: str, labels: dict[str, str] | None = None) -> float:
    return REGISTRY.get_sample_value(metric, labels or {}) or 0.0

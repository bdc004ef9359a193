"""A key that comes again with other values is refused and changes nothing; who is unknown has nothing (G3, G7)."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import pytest

from reelgate.common.v1.run_pb2 import Run
from reelgate.quota.v1 import quota_pb2
from services.kernel.errors import AlreadyExists
from services.kernel.ids import new_id
from tests.contract.quota.running import NOT_KEPT, Caller, Callers, leased, new_run


@dataclass(frozen=True)
class Known:
    """What a user has on the books, and a service that speaks for him or for somebody else."""

    user: UUID
    gateway: Caller
    other: UUID
    others_gateway: Caller
    admin: Caller
    admitted: Run
    settled: Run
    not_kept: Run
    saved: Run
    grant: UUID
    hold: UUID
    captured: UUID


@pytest.fixture
async def known(callers: Callers) -> Known:
    user, other = new_id(), new_id()
    gateway = callers.gateway_for(user)
    runs = [new_run() for _ in range(4)]
    for run in runs:
        await gateway.admit(run, user, 100, 5)
    admitted, settled, not_kept, saved = runs
    await gateway.settle(leased(settled, 1), 80)
    for run in (not_kept, saved):
        await gateway.settle(leased(run, 1), 0, NOT_KEPT)
    await gateway.save(leased(saved, 2), user, 70)
    grant, hold, captured = new_id(), new_id(), new_id()
    await callers.admin.grant(user, 50, "a present", grant)
    await gateway.hold(hold, user, 3)
    await gateway.hold(captured, user, 4)
    await gateway.capture(captured)
    return Known(
        user, gateway, other, callers.gateway_for(other), callers.admin,
        admitted, settled, not_kept, saved, grant, hold, captured,
    )  # fmt: skip


Call = Callable[[Known], Awaitable[object]]

OTHERWISE: dict[str, tuple[str, Call]] = {
    "admit with more bytes": ("RUN", lambda k: k.gateway.admit(k.admitted, k.user, 101, 5)),
    "admit with fewer bytes": ("RUN", lambda k: k.gateway.admit(k.admitted, k.user, 0, 5)),
    "admit with another price": ("RUN", lambda k: k.gateway.admit(k.admitted, k.user, 100, 6)),
    "admit for nothing": ("RUN", lambda k: k.gateway.admit(k.admitted, k.user, 100, 0)),
    "admit for another user": (
        "RUN",
        lambda k: k.others_gateway.admit(k.admitted, k.other, 100, 5),
    ),
    "admit what settled with more bytes": (
        "RUN",
        lambda k: k.gateway.admit(k.settled, k.user, 101, 5),
    ),
    "settle with more bytes": ("RUN", lambda k: k.gateway.settle(leased(k.settled, 1), 81)),
    "settle with other outcome": (
        "RUN",
        lambda k: k.gateway.settle(leased(k.settled, 1), 0, NOT_KEPT),
    ),
    "settle as kept after all": ("RUN", lambda k: k.gateway.settle(leased(k.not_kept, 1), 0)),
    "save with other bytes": ("RUN", lambda k: k.gateway.save(leased(k.saved, 2), k.user, 71)),
    "save what is kept": ("RUN", lambda k: k.gateway.save(leased(k.settled, 2), k.user, 80)),
    "grant another amount": (
        "REQUEST",
        lambda k: k.admin.grant(k.user, 51, "a present", k.grant),
    ),
    "grant for another reason": (
        "REQUEST",
        lambda k: k.admin.grant(k.user, 50, "a bribe", k.grant),
    ),
    "take the grant back": ("REQUEST", lambda k: k.admin.grant(k.user, -50, "a present", k.grant)),
    "grant to another user": (
        "REQUEST",
        lambda k: k.admin.grant(k.other, 50, "a present", k.grant),
    ),
    "hold another amount": ("REQUEST", lambda k: k.gateway.hold(k.hold, k.user, 4)),
    "hold another amount of what is spent": (
        "REQUEST",
        lambda k: k.gateway.hold(k.captured, k.user, 5),
    ),
    "hold for another user": ("REQUEST", lambda k: k.others_gateway.hold(k.hold, k.other, 3)),
}


@pytest.mark.parametrize(("key", "call"), OTHERWISE.values(), ids=OTHERWISE)
async def test_g3_g7_a_key_with_other_values_is_refused_and_changes_nothing(
    known: Known, key: str, call: Call
) -> None:
    before = await known.admin.usages_of(known.user)
    entries = await known.gateway.transactions(page_size=100)
    with pytest.raises(AlreadyExists) as refused:
        await call(known)
    assert refused.value.reason == f"{key}_MISMATCH"
    assert await known.admin.usages_of(known.user) == before
    assert await known.gateway.transactions(page_size=100) == entries
    (other,) = await known.admin.usages_of(known.other)
    assert (other.quota.used_bytes, other.quota.reserved_bytes) == (0, 0)
    # He may be known now; what new users get is all he has.
    assert other.credits.balance == other.credits.total_earned
    assert other.credits.balance in (0, 1000)


async def test_whoever_nobody_knows_has_nothing_and_is_not_made_by_looking(
    callers: Callers,
) -> None:
    user, admin = new_id(), callers.admin
    quota = await admin.get(user)
    assert (quota.used_bytes, quota.reserved_bytes) == (0, 0)
    assert (await admin.credits(user)).total_earned == 0
    assert list((await admin.transactions(user)).transactions) == []
    assert list((await admin.days("2026-01-01", "2026-12-31", user)).days) == []
    request = quota_pb2.ReconcileUserRequest(user_id=str(user), repair=True)
    request.list_time.FromDatetime(datetime.now(UTC))
    assert not (await admin.reconcile(request)).drifted
    (usage,) = await admin.usages_of(user)
    assert not usage.HasField("update_time")

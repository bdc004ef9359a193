"""What a run does to the figures of its user (G2, G3, G5), over gRPC."""

from uuid import UUID

import pytest

from services.kernel.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
)
from services.kernel.ids import new_id
from tests.contract.quota.running import KEPT, NOT_KEPT, Caller, Callers, leased, new_run


@pytest.fixture
def user() -> UUID:
    return new_id()


@pytest.fixture
async def gateway(callers: Callers, user: UUID) -> Caller:
    """The gateway, acting for a user whose limit is 1000 bytes."""
    await callers.admin.limit_user(user, 1000)
    return callers.gateway_for(user)


async def test_g3_admit_reserves_settle_uses_release_frees(gateway: Caller, user: UUID) -> None:
    run = new_run()
    admitted = await gateway.admit(run, user, 300)
    assert not admitted.replayed
    quota = admitted.quota
    assert (quota.used_bytes, quota.reserved_bytes, quota.available_bytes) == (0, 300, 700)

    quota = await gateway.settle(leased(run, 1), 250)
    assert (quota.used_bytes, quota.reserved_bytes, quota.available_bytes) == (250, 0, 750)

    quota = await gateway.release(leased(run, 1))
    assert (quota.used_bytes, quota.reserved_bytes, quota.available_bytes) == (0, 0, 1000)
    assert await gateway.get() == quota


async def test_g2_what_does_not_fit_is_refused_with_the_figures_and_changes_nothing(
    gateway: Caller, user: UUID
) -> None:
    kept, open_run = new_run(), new_run()
    await gateway.admit(kept, user, 500)
    await gateway.settle(kept, 500)
    await gateway.admit(open_run, user, 300)
    before = await gateway.get()

    with pytest.raises(ResourceExhausted) as refused:
        await gateway.admit(new_run(), user, 201)

    assert refused.value.reason == "QUOTA_EXCEEDED"
    assert refused.value.metadata == {
        "used": "500",
        "reserved": "300",
        "quota": "1000",
        "requested": "201",
    }
    assert await gateway.get() == before
    assert (await gateway.admit(new_run(), user, 200)).quota.available_bytes == 0


async def test_a_refused_run_can_be_admitted_when_there_is_room(
    gateway: Caller, user: UUID
) -> None:
    first, second = new_run(), new_run()
    await gateway.admit(first, user, 800)
    with pytest.raises(ResourceExhausted):
        await gateway.admit(second, user, 800)
    await gateway.release(first, user)
    assert not (await gateway.admit(second, user, 800)).replayed


async def test_g3_admit_repeated_with_the_same_values_changes_nothing(
    gateway: Caller, user: UUID
) -> None:
    run = new_run()
    first = await gateway.admit(run, user, 900, price=5)
    again = await gateway.admit(run, user, 900, price=5)
    assert again.replayed
    assert again.quota == first.quota


async def test_g3_admit_repeated_after_settle_changes_nothing(gateway: Caller, user: UUID) -> None:
    run = new_run()
    await gateway.admit(run, user, 900)
    settled = await gateway.settle(leased(run, 4), 100)
    again = await gateway.admit(run, user, 900)
    assert again.replayed
    assert again.quota == settled


@pytest.mark.parametrize(("reserve", "price"), [(899, 5), (900, 6)])
async def test_admit_repeated_with_other_values_is_a_mismatch(
    gateway: Caller, user: UUID, reserve: int, price: int
) -> None:
    run = new_run()
    first = await gateway.admit(run, user, 900, price=5)
    with pytest.raises(AlreadyExists) as refused:
        await gateway.admit(run, user, reserve, price)
    assert refused.value.reason == "RUN_MISMATCH"
    assert await gateway.get() == first.quota


async def test_the_run_of_another_user_is_a_mismatch_for_admit(
    callers: Callers, gateway: Caller, user: UUID
) -> None:
    run, other = new_run(), new_id()
    await gateway.admit(run, user, 900)
    with pytest.raises(AlreadyExists) as refused:
        await callers.gateway_for(other).admit(run, other, 900)
    assert refused.value.reason == "RUN_MISMATCH"
    assert (await callers.admin.get(other)).reserved_bytes == 0


async def test_a_retry_is_a_run_of_its_own(gateway: Caller, user: UUID) -> None:
    first = new_run(number=0)
    second = new_run(number=1)
    second.generation_id = first.generation_id
    await gateway.admit(first, user, 100)
    await gateway.release(first)
    quota = (await gateway.admit(second, user, 100)).quota
    assert quota.reserved_bytes == 100


async def test_g3_a_late_admit_after_release_is_refused(gateway: Caller, user: UUID) -> None:
    run = new_run()
    await gateway.admit(run, user, 100)
    await gateway.release(leased(run, 3))
    with pytest.raises(FailedPrecondition) as refused:
        await gateway.admit(run, user, 100)
    assert refused.value.reason == "RUN_ENDED"
    assert (await gateway.get()).reserved_bytes == 0


async def test_g3_release_before_admit_leaves_a_tombstone(gateway: Caller, user: UUID) -> None:
    run = new_run()
    quota = await gateway.release(run, user)
    assert (quota.used_bytes, quota.reserved_bytes) == (0, 0)
    with pytest.raises(FailedPrecondition) as refused:
        await gateway.admit(run, user, 100)
    assert refused.value.reason == "RUN_ENDED"


async def test_releasing_twice_succeeds_and_frees_once(gateway: Caller, user: UUID) -> None:
    kept, run = new_run(), new_run()
    await gateway.admit(kept, user, 400)
    await gateway.settle(kept, 400)
    await gateway.admit(run, user, 300)
    once = await gateway.release(run)
    assert await gateway.release(run) == once
    assert (once.used_bytes, once.reserved_bytes) == (400, 0)


async def test_settle_repeated_with_the_same_values_changes_nothing(
    gateway: Caller, user: UUID
) -> None:
    run = new_run()
    await gateway.admit(run, user, 300)
    first = await gateway.settle(run, 200)
    assert await gateway.settle(leased(run, 9), 200) == first


async def test_settle_repeated_with_other_values_is_a_mismatch(gateway: Caller, user: UUID) -> None:
    run = new_run()
    await gateway.admit(run, user, 300)
    await gateway.settle(run, 0, NOT_KEPT)
    for stored in (0, 1):
        with pytest.raises(AlreadyExists) as refused:
            await gateway.settle(run, stored, KEPT)
        assert refused.value.reason == "RUN_MISMATCH"
    assert (await gateway.get()).used_bytes == 0


async def test_g5_a_result_that_is_not_kept_counts_no_bytes(gateway: Caller, user: UUID) -> None:
    run = new_run()
    await gateway.admit(run, user, 300, price=7)
    quota = await gateway.settle(run, 0, NOT_KEPT)
    assert (quota.used_bytes, quota.reserved_bytes) == (0, 0)


async def test_g3_up_to_the_reserved_amount_settle_succeeds_whatever_the_limit_became(
    callers: Callers, gateway: Caller, user: UUID
) -> None:
    run = new_run()
    await gateway.admit(run, user, 300)
    await callers.admin.limit_user(user, 10)
    quota = await gateway.settle(run, 300)
    assert (quota.used_bytes, quota.quota_bytes, quota.available_bytes) == (300, 10, 0)


async def test_g3_only_what_exceeds_the_reservation_is_checked_and_it_stays_when_refused(
    gateway: Caller, user: UUID
) -> None:
    run, other = new_run(), new_run()
    await gateway.admit(run, user, 300)
    await gateway.admit(other, user, 600)
    with pytest.raises(ResourceExhausted) as refused:
        await gateway.settle(leased(run, 1), 401)
    assert refused.value.reason == "QUOTA_EXCEEDED"
    assert refused.value.metadata == {
        "used": "0",
        "reserved": "900",
        "quota": "1000",
        "requested": "101",
    }
    assert (await gateway.get()).reserved_bytes == 900
    quota = await gateway.settle(leased(run, 1), 400)
    assert (quota.used_bytes, quota.reserved_bytes) == (400, 600)


async def test_settle_of_a_run_never_admitted_is_not_found(gateway: Caller) -> None:
    with pytest.raises(NotFound):
        await gateway.settle(new_run(), 1)


async def test_settle_after_release_is_refused(gateway: Caller, user: UUID) -> None:
    run = new_run()
    await gateway.admit(run, user, 300)
    await gateway.release(run)
    with pytest.raises(FailedPrecondition) as refused:
        await gateway.settle(run, 300)
    assert refused.value.reason == "RUN_ENDED"
    assert (await gateway.get()).used_bytes == 0


async def test_a_worker_that_lost_its_lease_changes_nothing(gateway: Caller, user: UUID) -> None:
    run = new_run()
    await gateway.admit(run, user, 300)
    with pytest.raises(ResourceExhausted):
        await gateway.settle(leased(run, 5), 5000)  # refused, but its token has been seen
    before = await gateway.get()
    with pytest.raises(FailedPrecondition) as stale_settle:
        await gateway.settle(leased(run, 4), 300)
    with pytest.raises(FailedPrecondition) as stale_release:
        await gateway.release(leased(run, 4))
    assert stale_settle.value.reason == stale_release.value.reason == "STALE_LEASE"
    assert await gateway.get() == before
    await gateway.settle(leased(run, 5), 300)
    with pytest.raises(FailedPrecondition) as stale_repeat:
        await gateway.settle(leased(run, 4), 300)
    assert stale_repeat.value.reason == "STALE_LEASE"


async def test_a_tombstone_remembers_the_highest_token(gateway: Caller, user: UUID) -> None:
    run = new_run()
    await gateway.release(leased(run, 2), user)
    await gateway.release(leased(run, 6))
    with pytest.raises(FailedPrecondition) as refused:
        await gateway.release(leased(run, 5))
    assert refused.value.reason == "STALE_LEASE"


async def test_nothing_asked_for_is_admitted_even_over_the_limit(
    callers: Callers, gateway: Caller, user: UUID
) -> None:
    run = new_run()
    await gateway.admit(run, user, 900)
    await callers.admin.limit_user(user, 10)
    assert (await gateway.admit(new_run(), user, 0)).quota.reserved_bytes == 900
    with pytest.raises(ResourceExhausted):
        await gateway.admit(new_run(), user, 1)


async def test_the_sum_of_absurd_but_allowed_amounts_never_overflows(
    callers: Callers, user: UUID
) -> None:
    """An unlimited user is refused at 4 EiB instead of breaking the arithmetic."""
    gateway = callers.gateway_for(user)
    for _ in range(512):
        await gateway.admit(new_run(), user, 2**53)
    with pytest.raises(ResourceExhausted):
        await gateway.admit(new_run(), user, 2**53)


async def test_an_administrator_may_release_for_anyone(
    callers: Callers, gateway: Caller, user: UUID
) -> None:
    run = new_run()
    await gateway.admit(run, user, 300)
    admin_gateway = callers.gateway_for(new_id(), role="admin")
    assert (await admin_gateway.release(run)).user_id == str(user)
    with pytest.raises(InvalidArgument) as refused:
        await admin_gateway.release(new_run())
    assert refused.value.field == "user_id"
    assert (await admin_gateway.release(new_run(), user)).user_id == str(user)

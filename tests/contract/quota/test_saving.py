"""Keeping after all what was not kept: its bytes are admitted anew, its price is not asked for again (G5)."""

from uuid import UUID

import pytest

from reelgate.common.v1.run_pb2 import Run
from services.kernel.errors import AlreadyExists, FailedPrecondition, NotFound, ResourceExhausted
from services.kernel.ids import new_id
from tests.contract.quota.running import NOT_KEPT, Caller, Callers, leased, new_run
from tests.contract.quota.test_credits import CAPTURE, GRANT, HOLD, figures, kinds


@pytest.fixture
def user() -> UUID:
    return new_id()


@pytest.fixture
async def gateway(callers: Callers, user: UUID) -> Caller:
    """The gateway, acting for a user whose limit is 1000 bytes."""
    await callers.admin.limit_user(user, 1000)
    return callers.gateway_for(user)


@pytest.fixture
async def run(gateway: Caller, user: UUID) -> Run:
    """A run of 30 credits whose result stays at its upstream, settled by the worker with the lease 4."""
    run = new_run()
    await gateway.admit(run, user, 300, 30)
    await gateway.settle(leased(run, 4), 0, NOT_KEPT)
    return run


async def bytes_of(caller: Caller) -> tuple[int, int]:
    quota = await caller.get()
    return quota.used_bytes, quota.reserved_bytes


async def test_g5_saving_reserves_settles_and_frees_bytes_but_moves_no_credits(
    gateway: Caller, user: UUID, run: Run
) -> None:
    admitted = await gateway.save(leased(run, 5), user, 400)
    assert (admitted.replayed, admitted.quota.reserved_bytes) == (False, 400)
    assert (await gateway.save(leased(run, 5), user, 400)).replayed
    await gateway.settle(leased(run, 5), 350)
    assert await bytes_of(gateway) == (350, 0)
    assert (await gateway.save(leased(run, 5), user, 400)).replayed
    assert (await gateway.settle(leased(run, 6), 350)).used_bytes == 350
    await gateway.release(leased(run, 6))
    assert await bytes_of(gateway) == (0, 0)
    assert await figures(gateway) == (970, 0, 1000, 30)
    assert await kinds(gateway) == [GRANT, HOLD, CAPTURE]


async def test_g5_what_does_not_fit_is_not_saved_and_may_be_tried_again(
    gateway: Caller, user: UUID, run: Run
) -> None:
    other = new_run()
    await gateway.admit(other, user, 800)
    with pytest.raises(ResourceExhausted) as refused:
        await gateway.save(leased(run, 5), user, 300)
    assert refused.value.reason == "QUOTA_EXCEEDED"
    assert refused.value.metadata["requested"] == "300"
    await gateway.release(other)
    await gateway.save(leased(run, 5), user, 300)
    assert await bytes_of(gateway) == (0, 300)


async def test_a_save_that_failed_leaves_the_run_as_it_was_and_may_be_repeated(
    gateway: Caller, user: UUID, run: Run
) -> None:
    await gateway.save(leased(run, 5), user, 300)
    await gateway.settle(leased(run, 5), 0, NOT_KEPT)
    assert await bytes_of(gateway) == (0, 0)
    assert (await gateway.save(leased(run, 5), user, 300)).replayed, "it had ended: a late repeat"
    assert await bytes_of(gateway) == (0, 0)
    await gateway.save(leased(run, 6), user, 320)
    await gateway.settle(leased(run, 6), 320)
    assert await bytes_of(gateway) == (320, 0)
    assert await figures(gateway) == (970, 0, 1000, 30)


async def test_another_worker_goes_on_with_a_save(gateway: Caller, user: UUID, run: Run) -> None:
    await gateway.save(leased(run, 5), user, 300)
    assert (await gateway.save(leased(run, 6), user, 300)).replayed
    with pytest.raises(FailedPrecondition) as refused:
        await gateway.settle(leased(run, 5), 300)
    assert refused.value.reason == "STALE_LEASE"
    await gateway.settle(leased(run, 6), 300)
    assert (await gateway.save(leased(run, 7), user, 300)).replayed
    assert await bytes_of(gateway) == (300, 0)


async def test_a_save_given_up_frees_its_bytes_and_refunds_nothing(
    gateway: Caller, user: UUID, run: Run
) -> None:
    await gateway.save(leased(run, 5), user, 300)
    await gateway.release(leased(run, 5))
    assert await bytes_of(gateway) == (0, 0)
    assert await figures(gateway) == (970, 0, 1000, 30)
    with pytest.raises(FailedPrecondition) as refused:
        await gateway.save(leased(run, 6), user, 300)
    assert refused.value.reason == "RUN_ENDED"


async def test_only_what_exceeds_the_save_is_checked(gateway: Caller, user: UUID, run: Run) -> None:
    await gateway.save(leased(run, 5), user, 900)
    with pytest.raises(ResourceExhausted) as refused:
        await gateway.settle(leased(run, 5), 1001)
    assert refused.value.metadata["requested"] == "101"
    await gateway.settle(leased(run, 5), 1000)
    assert await bytes_of(gateway) == (1000, 0)


async def test_an_older_lease_saves_nothing(gateway: Caller, user: UUID, run: Run) -> None:
    with pytest.raises(FailedPrecondition) as refused:
        await gateway.save(leased(run, 3), user, 300)
    assert refused.value.reason == "STALE_LEASE"
    with pytest.raises(AlreadyExists):
        await gateway.save(leased(run, 4), user, 300)
    await gateway.save(leased(run, 5), user, 300)
    with pytest.raises(AlreadyExists):
        await gateway.save(leased(run, 6), user, 301)
    assert await bytes_of(gateway) == (0, 300)


async def test_only_what_settled_as_not_kept_is_saved(
    callers: Callers, gateway: Caller, user: UUID
) -> None:
    reserved, kept = new_run(), new_run()
    await gateway.admit(reserved, user, 10)
    await gateway.admit(kept, user, 10)
    await gateway.settle(leased(kept, 1), 10)
    for run in (reserved, kept):
        with pytest.raises(AlreadyExists):
            await gateway.save(leased(run, 2), user, 10)
    with pytest.raises(NotFound):
        await gateway.save(new_run(lease=1), user, 10)
    stranger = new_id()
    with pytest.raises(NotFound):
        await callers.gateway_for(stranger).save(leased(kept, 3), stranger, 10)
    assert await bytes_of(gateway) == (10, 10)


async def test_a_late_admit_of_the_run_is_a_repeat_as_ever(
    gateway: Caller, user: UUID, run: Run
) -> None:
    await gateway.save(leased(run, 5), user, 400)
    assert (await gateway.admit(run, user, 300, 30)).replayed
    await gateway.settle(leased(run, 5), 400)
    assert (await gateway.admit(run, user, 300, 30)).replayed
    assert await figures(gateway) == (970, 0, 1000, 30)

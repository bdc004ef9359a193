"""Credits held for one request: captured, released or expired, at most one of them (G7, Path A)."""

import asyncio
from uuid import UUID

import pytest

from services.kernel.errors import AlreadyExists, FailedPrecondition, NotFound, ResourceExhausted
from services.kernel.ids import new_id
from tests.contract.quota.running import Caller, Callers, new_run
from tests.contract.quota.test_credits import CAPTURE, GRANT, HOLD, REFUND, figures, kinds


@pytest.fixture
def user() -> UUID:
    return new_id()


@pytest.fixture
def gateway(callers: Callers, user: UUID) -> Caller:
    return callers.gateway_for(user)


async def test_g7_a_request_holds_and_captures_once(gateway: Caller, user: UUID) -> None:
    request = new_id()
    held = await gateway.hold(request, user, 30)
    assert (held.credits.balance, held.credits.held, held.replayed) == (970, 30, False)
    assert (await gateway.hold(request, user, 30)).replayed
    for _ in range(2):
        captured = await gateway.capture(request)
        assert (captured.balance, captured.held, captured.total_spent) == (970, 0, 30)
    assert (await gateway.hold(request, user, 30)).replayed
    with pytest.raises(FailedPrecondition) as refused:
        await gateway.release_hold(request)
    assert refused.value.reason == "HOLD_CAPTURED"
    assert await kinds(gateway) == [GRANT, HOLD, CAPTURE]
    entry = (await gateway.transactions(page_size=1)).transactions[0]
    assert (entry.request_id, entry.generation_id, entry.run) == (str(request), "", 0)


async def test_g7_a_request_that_brought_nothing_gives_back_once(
    gateway: Caller, user: UUID
) -> None:
    request = new_id()
    await gateway.hold(request, user, 30)
    for _ in range(2):
        assert (await gateway.release_hold(request)).balance == 1000
    for call in (gateway.capture(request), gateway.hold(request, user, 30)):
        with pytest.raises(FailedPrecondition) as refused:
            await call
        assert refused.value.reason == "HOLD_ENDED"
    assert await figures(gateway) == (1000, 0, 1000, 0)
    assert await kinds(gateway) == [GRANT, HOLD, REFUND]


async def test_a_release_before_the_hold_leaves_a_tombstone(gateway: Caller, user: UUID) -> None:
    request = new_id()
    await gateway.release_hold(request)
    with pytest.raises(FailedPrecondition):
        await gateway.hold(request, user, 30)
    assert await figures(gateway) == (1000, 0, 1000, 0)


async def test_a_request_with_other_values_is_a_mismatch(
    callers: Callers, gateway: Caller, user: UUID
) -> None:
    request, other = new_id(), new_id()
    await gateway.hold(request, user, 30)
    with pytest.raises(AlreadyExists) as refused:
        await gateway.hold(request, user, 31)
    assert refused.value.reason == "REQUEST_MISMATCH"
    with pytest.raises(AlreadyExists):
        await callers.gateway_for(other).hold(request, other, 30)
    assert (await callers.admin.credits(other)).balance == 1000


async def test_the_hold_of_another_user_is_not_found(
    callers: Callers, gateway: Caller, user: UUID
) -> None:
    request = new_id()
    await gateway.hold(request, user, 30)
    thief = callers.gateway_for(new_id())
    for call in (thief.capture(request), thief.release_hold(request)):
        with pytest.raises(NotFound):
            await call
    with pytest.raises(NotFound):
        await gateway.capture(new_id())
    assert await figures(gateway) == (970, 30, 1000, 0)


async def test_runs_and_requests_draw_on_one_balance(gateway: Caller, user: UUID) -> None:
    await gateway.admit(new_run(), user, 0, 600)
    with pytest.raises(ResourceExhausted) as refused:
        await gateway.hold(new_id(), user, 401)
    assert refused.value.reason == "INSUFFICIENT_CREDITS"
    assert refused.value.metadata == {"balance": "400", "price": "401"}
    await gateway.hold(new_id(), user, 400)
    assert await figures(gateway) == (0, 1000, 1000, 0)


async def test_what_expired_is_given_back_and_not_captured(gateway: Caller, user: UUID) -> None:
    request = new_id()
    await gateway.hold(request, user, 30, seconds=1)
    await asyncio.sleep(1.1)
    for _ in range(2):
        with pytest.raises(FailedPrecondition) as refused:
            await gateway.capture(request)
        assert refused.value.reason == "HOLD_ENDED"
    assert await figures(gateway) == (1000, 0, 1000, 0)
    entry = (await gateway.transactions(page_size=1)).transactions[0]
    assert (entry.kind, entry.reason, entry.actor) == (REFUND, "expired", "quota")


async def test_a_hold_a_run_and_a_grant_may_bear_one_id(
    callers: Callers, gateway: Caller, user: UUID
) -> None:
    run = new_run()
    await gateway.admit(run, user, 0, 30)
    await gateway.hold(run.generation_id, user, 40)
    await callers.admin.grant(user, 5, request_id=run.generation_id)
    await gateway.settle(run, 0)
    assert (await gateway.release_hold(run.generation_id)).balance == 975

"""What runs, grants and corrections do to the credits of a user, and what the ledger says of it (G7, G8)."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise
from uuid import UUID

import pytest

from reelgate.quota.v1 import credit_pb2
from reelgate.quota.v1.credit_pb2 import Transaction
from services.kernel.errors import AlreadyExists, FailedPrecondition, NotFound, ResourceExhausted
from services.kernel.ids import new_id
from tests.contract.quota.running import (
    NOT_KEPT,
    Caller,
    Callers,
    Keys,
    leased,
    new_run,
    quota_server,
)

GRANT = credit_pb2.TRANSACTION_KIND_GRANT
CORRECTION = credit_pb2.TRANSACTION_KIND_CORRECTION
HOLD = credit_pb2.TRANSACTION_KIND_HOLD
CAPTURE = credit_pb2.TRANSACTION_KIND_CAPTURE
REFUND = credit_pb2.TRANSACTION_KIND_REFUND


@pytest.fixture
def user() -> UUID:
    return new_id()


@pytest.fixture
def gateway(callers: Callers, user: UUID) -> Caller:
    """The gateway, acting for a new user, who is given 1000 credits."""
    return callers.gateway_for(user)


async def figures(caller: Caller) -> tuple[int, int, int, int]:
    """Balance, held, earned, spent."""
    found = await caller.credits()
    return found.balance, found.held, found.total_earned, found.total_spent


async def kinds(caller: Caller) -> list[int]:
    """Of all entries, oldest first."""
    return [entry.kind for entry in reversed((await caller.transactions()).transactions)]


async def test_g7_a_new_user_gets_his_credits_once_when_he_is_first_seen(
    callers: Callers, user: UUID
) -> None:
    himself = callers.person(user)
    assert await figures(himself) == (1000, 0, 1000, 0)
    assert await figures(himself) == (1000, 0, 1000, 0)
    [entry] = (await himself.transactions()).transactions
    assert (entry.kind, entry.amount, entry.reason, entry.actor) == (
        GRANT,
        1000,
        "welcome",
        "quota",
    )
    assert (entry.generation_id, entry.request_id, entry.id) == ("", "", f"{user}:1")


@pytest.mark.parametrize("first", ["admit", "grant", "hold", "look", "list", "release_hold"])
async def test_g7_whatever_comes_first_welcomes_and_nothing_does_so_twice(
    callers: Callers, gateway: Caller, user: UUID, first: str
) -> None:
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "admit": lambda: gateway.admit(new_run(), user, 0, 0),
        "grant": lambda: callers.admin.grant(user, 1),
        "hold": lambda: gateway.hold(new_id(), user, 1),
        "look": gateway.credits,
        "list": gateway.transactions,
        "release_hold": lambda: gateway.release_hold(new_id()),
    }
    await asyncio.gather(*(calls[first]() for _ in range(8)))
    for call in calls.values():
        await call()
    entries = (await gateway.transactions(page_size=100)).transactions
    assert [entry.reason for entry in entries].count("welcome") == 1
    assert entries[-1].reason == "welcome"


async def test_somebody_an_administrator_asks_about_is_not_made_by_it(
    callers: Callers, user: UUID
) -> None:
    assert (await callers.admin.credits(user)).balance == 0
    assert (await callers.admin.transactions(user)).transactions == []
    assert (await callers.person(user).credits()).balance == 1000


async def test_an_installation_may_give_new_users_nothing(shared_books: str, keys: Keys) -> None:
    user = new_id()
    async with quota_server(shared_books, keys, new_user_credits=0) as callers:
        assert await figures(callers.person(user)) == (0, 0, 0, 0)
        with pytest.raises(ResourceExhausted):
            await callers.gateway_for(user).admit(new_run(), user, 0, 1)
    async with quota_server(shared_books, keys, new_user_credits=50) as callers:
        assert await figures(callers.person(user)) == (0, 0, 0, 0), "he is no new user any more"


async def test_g7_admit_holds_settle_captures(gateway: Caller, user: UUID) -> None:
    run = new_run()
    await gateway.admit(run, user, 10, 30)
    assert await figures(gateway) == (970, 30, 1000, 0)
    await gateway.settle(leased(run, 1), 5)
    assert await figures(gateway) == (970, 0, 1000, 30)
    await gateway.settle(leased(run, 1), 5)
    await gateway.release(leased(run, 2))
    assert await figures(gateway) == (970, 0, 1000, 30), "what is spent stays spent"
    assert await kinds(gateway) == [GRANT, HOLD, CAPTURE]


async def test_g7_what_is_not_kept_by_us_is_paid_too(gateway: Caller, user: UUID) -> None:
    run = new_run()
    await gateway.admit(run, user, 10, 30)
    await gateway.settle(run, 0, NOT_KEPT)
    assert await figures(gateway) == (970, 0, 1000, 30)


async def test_g7_release_refunds_once_and_inflates_no_total(gateway: Caller, user: UUID) -> None:
    run = new_run()
    await gateway.admit(run, user, 10, 30)
    for token in (1, 1, 4):
        await gateway.release(leased(run, token))
        assert await figures(gateway) == (1000, 0, 1000, 0)
    with pytest.raises(FailedPrecondition):
        await gateway.admit(run, user, 10, 30)
    assert await kinds(gateway) == [GRANT, HOLD, REFUND]


async def test_a_repeated_admit_holds_once(gateway: Caller, user: UUID) -> None:
    run = new_run()
    for _ in range(3):
        await gateway.admit(run, user, 10, 30)
    assert await figures(gateway) == (970, 30, 1000, 0)


async def test_a_run_that_costs_nothing_leaves_no_trace_in_the_ledger(
    gateway: Caller, user: UUID
) -> None:
    run = new_run()
    await gateway.admit(run, user, 10, 0)
    await gateway.settle(run, 10)
    assert await kinds(gateway) == [GRANT]


async def test_g7_too_few_credits_are_refused_with_the_figures_and_change_nothing(
    gateway: Caller, user: UUID
) -> None:
    await gateway.admit(new_run(), user, 10, 900)
    before = await gateway.get()
    with pytest.raises(ResourceExhausted, match="101 are needed, 100 are left") as refused:
        await gateway.admit(new_run(), user, 10, 101)
    assert refused.value.reason == "INSUFFICIENT_CREDITS"
    assert refused.value.metadata == {"balance": "100", "price": "101"}
    assert await gateway.get() == before
    assert await figures(gateway) == (100, 900, 1000, 0)
    await gateway.admit(new_run(), user, 10, 100)


async def test_who_lacks_credits_and_room_is_told_of_the_credits(
    callers: Callers, gateway: Caller, user: UUID
) -> None:
    await callers.admin.limit_user(user, 5)
    with pytest.raises(ResourceExhausted) as refused:
        await gateway.admit(new_run(), user, 6, 1001)
    assert refused.value.reason == "INSUFFICIENT_CREDITS"
    with pytest.raises(ResourceExhausted) as refused:
        await gateway.admit(new_run(), user, 6, 1000)
    assert refused.value.reason == "QUOTA_EXCEEDED"
    assert await figures(gateway) == (1000, 0, 1000, 0)


async def test_a_poor_user_hears_of_his_runs_as_before(gateway: Caller, user: UUID) -> None:
    run = new_run()
    await gateway.admit(run, user, 10, 1000)
    assert (await gateway.admit(run, user, 10, 1000)).replayed
    with pytest.raises(AlreadyExists):
        await gateway.admit(run, user, 10, 5000)


async def test_a_refused_settle_captures_nothing_yet(
    callers: Callers, gateway: Caller, user: UUID
) -> None:
    await callers.admin.limit_user(user, 10)
    run = new_run()
    await gateway.admit(run, user, 10, 30)
    with pytest.raises(ResourceExhausted):
        await gateway.settle(leased(run, 1), 11)
    assert await figures(gateway) == (970, 30, 1000, 0)
    await gateway.settle(leased(run, 1), 0, NOT_KEPT)
    assert await figures(gateway) == (970, 0, 1000, 30)


async def test_g7_every_movement_is_told_with_balances_before_and_after(
    gateway: Caller, user: UUID
) -> None:
    run = new_run(number=2)
    await gateway.admit(run, user, 0, 30)
    await gateway.settle(run, 0, NOT_KEPT)
    capture, hold, welcome = (await gateway.transactions()).transactions
    assert (welcome.balance_before, welcome.amount, welcome.balance_after) == (0, 1000, 1000)
    assert (hold.balance_before, hold.amount, hold.balance_after) == (1000, -30, 970)
    assert (hold.held_before, hold.held_amount, hold.held_after) == (0, 30, 30)
    assert (capture.balance_before, capture.amount, capture.balance_after) == (970, 0, 970)
    assert (capture.held_before, capture.held_amount, capture.held_after) == (30, -30, 0)
    for entry in (hold, capture):
        assert (entry.generation_id, entry.run) == (run.generation_id, 2)
        assert (entry.request_id, entry.actor) == ("", "")
    assert capture.create_time.ToNanoseconds() >= hold.create_time.ToNanoseconds() > 0


async def test_g8_an_administrator_gives_and_takes_back_with_a_reason(
    callers: Callers, gateway: Caller, user: UUID
) -> None:
    request = new_id()
    assert (await callers.admin.grant(user, 500, "for a complaint", request)).balance == 1500
    assert (await callers.admin.grant(user, -200, "that was too much")).balance == 1300
    assert await figures(gateway) == (1300, 0, 1300, 0)
    correction, grant, _ = (await gateway.transactions()).transactions
    assert (grant.kind, grant.amount, grant.reason) == (GRANT, 500, "for a complaint")
    assert grant.request_id == str(request)
    assert (correction.kind, correction.amount) == (CORRECTION, -200)
    assert UUID(grant.actor) == UUID(correction.actor), "it is the administrator"


async def test_a_grant_repeated_changes_nothing_and_with_other_values_is_a_mismatch(
    callers: Callers, gateway: Caller, user: UUID
) -> None:
    request = new_id()
    for _ in range(3):
        assert (await callers.admin.grant(user, 500, "once", request)).balance == 1500
    for amount, reason, whom in (
        (501, "once", user),
        (-500, "once", user),
        (500, "twice", user),
        (500, "once", new_id()),
    ):
        with pytest.raises(AlreadyExists) as refused:
            await callers.admin.grant(whom, amount, reason, request)
        assert refused.value.reason == "REQUEST_MISMATCH"
    assert await figures(gateway) == (1500, 0, 1500, 0)


async def test_one_request_granted_to_two_users_at_once_goes_to_one(callers: Callers) -> None:
    for _ in range(20):
        users, request = [new_id(), new_id()], new_id()
        said = await asyncio.gather(
            *(callers.admin.grant(user, 7, request_id=request) for user in users),
            return_exceptions=True,
        )
        assert sum(isinstance(answer, AlreadyExists) for answer in said) == 1
        balances = [(await callers.admin.credits(user)).balance for user in users]
        assert sorted(balances) == [1000, 1007]


async def test_more_than_there_is_can_not_be_taken_back(
    callers: Callers, gateway: Caller, user: UUID
) -> None:
    await gateway.admit(new_run(), user, 0, 900)
    with pytest.raises(FailedPrecondition) as refused:
        await callers.admin.grant(user, -101)
    assert refused.value.reason == "INSUFFICIENT_CREDITS"
    assert refused.value.metadata == {"balance": "100", "price": "101"}
    assert await figures(gateway) == (100, 900, 1000, 0)
    assert (await callers.admin.grant(user, -100)).balance == 0


async def test_no_sum_of_grants_overflows(callers: Callers, gateway: Caller, user: UUID) -> None:
    assert (await callers.admin.grant(user, 2**53 - 1000)).balance == 2**53
    run = new_run()
    await gateway.admit(run, user, 0, 2**53)
    await gateway.settle(run, 0, NOT_KEPT)
    with pytest.raises(FailedPrecondition) as refused:
        await callers.admin.grant(user, 1)
    assert refused.value.reason == "TOO_MANY_CREDITS"
    assert await figures(gateway) == (0, 0, 2**53, 2**53)


async def test_a_grant_makes_a_user_known(callers: Callers, user: UUID) -> None:
    assert (await callers.admin.grant(user, 5)).balance == 1005
    assert (await callers.admin.get(user)).used_bytes == 0


async def test_a_service_is_named_in_the_ledger_when_it_gives(gateway: Caller, user: UUID) -> None:
    await gateway.grant(user, 1_000_000, "demo")
    assert (await gateway.transactions(page_size=1)).transactions[0].actor == "gateway"


async def test_the_ledger_comes_in_pages_newest_first(
    callers: Callers, gateway: Caller, user: UUID
) -> None:
    for amount in range(1, 25):
        await callers.admin.grant(user, amount)
    seen: list[Transaction] = []
    token, pages = "", 0
    while pages == 0 or token:
        page = await gateway.transactions(page_size=7, page_token=token)
        seen.extend(page.transactions)
        token, pages = page.next_page_token, pages + 1
    assert pages == 4
    assert [entry.amount for entry in seen] == [*range(24, 0, -1), 1000]
    assert len((await gateway.transactions()).transactions) == 20
    assert all(newer.balance_before == older.balance_after for newer, older in pairwise(seen))


async def test_settling_what_is_unknown_moves_nothing(gateway: Caller) -> None:
    with pytest.raises(NotFound):
        await gateway.settle(new_run(), 0, NOT_KEPT)
    assert await figures(gateway) == (1000, 0, 1000, 0)

"""Who may do what, and which requests are wrong in themselves."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from reelgate.common.v1.run_pb2 import Run
from reelgate.quota.v1 import quota_pb2
from reelgate.quota.v1.credit_pb2 import Price
from services.kernel.errors import (
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Unauthenticated,
)
from services.kernel.ids import new_id
from tests.contract.quota.running import NOT_KEPT, Caller, Callers, Keys, new_run

USER = new_id()
OTHER = new_id()
TOO_MUCH = 2**53 + 1
DAY = "2026-01-31"

Call = Callable[[Caller], Awaitable[object]]

CALLS: dict[str, Call] = {
    "GetQuota": lambda caller: caller.get(),
    "Admit": lambda caller: caller.admit(new_run(), USER, 1),
    "Settle": lambda caller: caller.settle(new_run(), 1),
    "Release": lambda caller: caller.release(new_run(), USER),
    "SetSubject": lambda caller: caller.set_subject(USER, "", 1),
    "SetLimits": lambda caller: caller.limit_user(USER, 1),
    "ListLimits": lambda caller: caller.limits(),
    "ListUsage": lambda caller: caller.list_usage(),
    "BatchGetUsage": lambda caller: caller.usages_of(USER),
    "ListDailyUsage": lambda caller: caller.days(DAY, DAY),
    "ReconcileUser": lambda caller: caller.reconcile(counting()),
    "GetCredits": lambda caller: caller.credits(),
    "GrantCredits": lambda caller: caller.grant(USER, 1),
    "ListTransactions": lambda caller: caller.transactions(),
    "HoldCredits": lambda caller: caller.hold(new_id(), USER, 1),
    "CaptureHold": lambda caller: caller.capture(new_id()),
    "ReleaseHold": lambda caller: caller.release_hold(new_id()),
    "SetPrices": lambda caller: caller.set_prices(Price(model="free")),
    "ListPrices": lambda caller: caller.prices(),
    "Quote": lambda caller: caller.quote("free"),
}
FOR_EVERYONE = (
    "GetQuota", "ListDailyUsage", "GetCredits", "ListTransactions", "ListPrices", "Quote",
)  # fmt: skip
FOR_ADMINISTRATORS = ("SetLimits", "ListLimits", "ListUsage", "BatchGetUsage", "SetPrices")
FOR_RUNS = ("Admit", "Settle", "Release", "SetSubject", "HoldCredits", "CaptureHold", "ReleaseHold")


def counting(**changes: Any) -> quota_pb2.ReconcileUserRequest:
    values: dict[str, Any] = {
        "user_id": str(USER),
        "list_time": Timestamp(seconds=1_700_000_000),
    }
    return quota_pb2.ReconcileUserRequest(**(values | changes))


def counted(generation: str, run: int = 0, size: int = 1) -> quota_pb2.RunBytes:
    return quota_pb2.RunBytes(generation_id=generation, run=run, bytes=size)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_nothing_is_answered_without_a_token(callers: Callers, call: Call) -> None:
    with pytest.raises(Unauthenticated):
        await call(callers.stranger)


@pytest.mark.parametrize("name", [name for name in CALLS if name not in FOR_EVERYONE])
async def test_a_user_may_only_look_at_what_is_his(callers: Callers, name: str) -> None:
    with pytest.raises(PermissionDenied):
        await CALLS[name](callers.person(USER))


@pytest.mark.parametrize("name", FOR_RUNS)
async def test_an_administrator_does_not_act_for_runs_himself(callers: Callers, name: str) -> None:
    with pytest.raises(PermissionDenied):
        await CALLS[name](callers.admin)


@pytest.mark.parametrize("name", FOR_ADMINISTRATORS)
async def test_h3_only_an_administrator_manages_limits_and_prices_and_sees_what_all_use(
    callers: Callers, name: str
) -> None:
    await CALLS[name](callers.admin)
    with pytest.raises(PermissionDenied):
        await CALLS[name](callers.gateway_for(USER))


async def test_g9_a_user_is_counted_by_administrators_and_by_services_that_speak_for_him(
    callers: Callers,
) -> None:
    for caller in (callers.admin, callers.gateway_for(USER)):
        assert (await caller.reconcile(counting())).user_id == str(USER)
    for caller in (callers.gateway_for(OTHER), callers.person(USER)):
        with pytest.raises(PermissionDenied):
            await caller.reconcile(counting(repair=True))


async def test_who_may_not_count_is_told_before_he_sends_all_of_it(callers: Callers) -> None:
    """What is wrong in the second message would be told otherwise."""
    wrong = quota_pb2.ReconcileUserRequest(runs=[counted("x")])
    with pytest.raises(PermissionDenied):
        await callers.person(USER).reconcile(counting(), wrong)


async def test_a_quota_is_shown_to_its_user_to_administrators_and_to_services(
    callers: Callers,
) -> None:
    for caller in (callers.person(USER), callers.admin, callers.gateway_for(OTHER)):
        assert (await caller.get(USER)).user_id == str(USER)
    with pytest.raises(PermissionDenied):
        await callers.person(OTHER).get(USER)


async def test_credits_are_shown_to_their_user_to_administrators_and_to_services(
    callers: Callers,
) -> None:
    for caller in (callers.person(USER), callers.admin, callers.gateway_for(OTHER)):
        assert (await caller.credits(USER)).user_id == str(USER)
        await caller.transactions(USER)
    with pytest.raises(PermissionDenied):
        await callers.person(OTHER).credits(USER)
    with pytest.raises(PermissionDenied):
        await callers.person(OTHER).transactions(USER)


async def test_a_service_gives_credits_only_to_whom_it_speaks_for(callers: Callers) -> None:
    with pytest.raises(PermissionDenied):
        await callers.gateway_for(OTHER).grant(USER, 1)
    with pytest.raises(PermissionDenied):
        await callers.gateway_for(OTHER).hold(new_id(), USER, 1)


async def test_a_service_gives_credits_to_whom_it_speaks_for(callers: Callers) -> None:
    user = new_id()
    assert (await callers.gateway_for(user).grant(user, 1)).balance == 1001


async def test_no_id_means_the_caller(callers: Callers) -> None:
    assert (await callers.person(USER).get()).user_id == str(USER)
    assert (await callers.gateway_for(OTHER).get()).user_id == str(OTHER)


async def test_a_token_admits_only_for_its_own_user(callers: Callers) -> None:
    with pytest.raises(PermissionDenied):
        await callers.gateway_for(OTHER).admit(new_run(), USER, 1)
    with pytest.raises(PermissionDenied):
        await callers.gateway_for(OTHER).release(new_run(), USER)


async def test_somebody_elses_run_is_not_found_and_not_touched(callers: Callers) -> None:
    run, owner = new_run(), new_id()
    before = (await callers.gateway_for(owner).admit(run, owner, 10)).quota
    thief = callers.gateway_for(OTHER)
    with pytest.raises(NotFound):
        await thief.settle(run, 10)
    with pytest.raises(NotFound):
        await thief.release(run)
    assert await callers.person(owner).get() == before


async def test_a_token_that_speaks_for_nobody_is_refused(callers: Callers) -> None:
    with pytest.raises(PermissionDenied):
        await callers.gateway_for("system").get()


WRONG: dict[str, tuple[str, Call]] = {
    "admit without a run": ("run.generation_id", lambda c: c.admit(Run(), USER, 1)),
    "a run that is no id": (
        "run.generation_id",
        lambda c: c.settle(Run(generation_id="nonsense"), 1),
    ),
    "a negative run": ("run.number", lambda c: c.release(new_run(number=-1), USER)),
    "a negative token": ("run.lease_token", lambda c: c.settle(new_run(lease=-1), 1)),
    "admit with a lease": ("run.lease_token", lambda c: c.admit(new_run(lease=1), USER, 1)),
    "admit for nobody": ("user_id", lambda c: c.admit(new_run(), "", 1)),
    "admit for a name": ("user_id", lambda c: c.admit(new_run(), "alice", 1)),
    "negative bytes": ("reserve_bytes", lambda c: c.admit(new_run(), USER, -1)),
    "absurd bytes": ("reserve_bytes", lambda c: c.admit(new_run(), USER, TOO_MUCH)),
    "negative price": ("price_credits", lambda c: c.admit(new_run(), USER, 1, -1)),
    "absurd price": ("price_credits", lambda c: c.admit(new_run(), USER, 1, TOO_MUCH)),
    "negative size": ("stored_bytes", lambda c: c.settle(new_run(), -1)),
    "absurd size": ("stored_bytes", lambda c: c.settle(new_run(), TOO_MUCH)),
    "bytes of nothing kept": ("stored_bytes", lambda c: c.settle(new_run(), 1, NOT_KEPT)),
    "no outcome": (
        "outcome",
        lambda c: c.settle(new_run(), 0, quota_pb2.RUN_OUTCOME_UNSPECIFIED),
    ),
    "release for a name": ("user_id", lambda c: c.release(new_run(), "alice")),
    "a subject without an id": ("user_id", lambda c: c.set_subject("", "", 1)),
    "a group that is no id": ("group_id", lambda c: c.set_subject(USER, "staff", 1)),
    "a negative version": ("version", lambda c: c.set_subject(USER, "", -1)),
    "the quota of a name": ("user_id", lambda c: c.get("alice")),
    "a save with a price": ("price_credits", lambda c: c.save(new_run(lease=1), USER, 1, 1)),
    "a save of negative bytes": ("reserve_bytes", lambda c: c.save(new_run(lease=1), USER, -1)),
    "a save of absurd bytes": ("reserve_bytes", lambda c: c.save(new_run(lease=1), USER, TOO_MUCH)),
    "a save of the most negative bytes": (
        "reserve_bytes",
        lambda c: c.save(new_run(lease=1), USER, -(2**63)),
    ),
    "a save with a negative price": (
        "price_credits",
        lambda c: c.save(new_run(lease=1), USER, 1, -1),
    ),
    "the credits of a name": ("user_id", lambda c: c.credits("alice")),
    "a grant of nothing": ("amount", lambda c: c.grant(USER, 0)),
    "a ledger token of thousands of digits": (
        "page_token",
        lambda c: c.transactions(USER, 1, "9" * 5000),
    ),
    "an absurd grant": ("amount", lambda c: c.grant(USER, TOO_MUCH)),
    "an absurd correction": ("amount", lambda c: c.grant(USER, -(2**63))),
    "a grant without a reason": ("reason", lambda c: c.grant(USER, 1, "  ")),
    "a grant with a novel": ("reason", lambda c: c.grant(USER, 1, "x" * 501)),
    "a grant without a request": ("request_id", lambda c: c.grant(USER, 1, request_id="")),
    "a grant to nobody": ("user_id", lambda c: c.grant("", 1)),
    "a ledger page of 101": ("page_size", lambda c: c.transactions(USER, 101)),
    "a ledger token of nobody's": ("page_token", lambda c: c.transactions(USER, 1, "-1")),
    "an absurd ledger token": ("page_token", lambda c: c.transactions(USER, 1, "9" * 40)),
    "a hold of nothing": ("credits", lambda c: c.hold(new_id(), USER, 0)),
    "a hold of less": ("credits", lambda c: c.hold(new_id(), USER, -5)),
    "an absurd hold": ("credits", lambda c: c.hold(new_id(), USER, TOO_MUCH)),
    "a hold for no time": ("ttl", lambda c: c.hold(new_id(), USER, 1, 0)),
    "a hold for two days": ("ttl", lambda c: c.hold(new_id(), USER, 1, 2 * 86400)),
    "a hold for ever": ("ttl", lambda c: c.hold(new_id(), USER, 1, 10**11)),
    "a hold of no request": ("request_id", lambda c: c.hold("", USER, 1)),
    "a capture of no request": ("request_id", lambda c: c.capture("")),
    "a release of no request": ("request_id", lambda c: c.release_hold("one")),
    "a quote without a model": ("model", lambda c: c.quote("")),
    "a quote for -1 seconds": ("duration_seconds", lambda c: c.quote("m", -1)),
    "a quote for a model of any length": ("model", lambda c: c.quote("m" * 201)),
    "a quote for a century": ("duration_seconds", lambda c: c.quote("m", 2**31 - 1)),
    "a quote for -1 media": ("count", lambda c: c.quote("m", 0, -1)),
    "a quote for 1001 media": ("count", lambda c: c.quote("m", 0, 1001)),
    "a hold for less than no time": ("ttl", lambda c: c.hold(new_id(), USER, 1, -60)),
    "a release of a negative token": ("run.lease_token", lambda c: c.release(new_run(lease=-1))),
    "counting nobody": ("user_id", lambda c: c.reconcile(counting(user_id=""))),
    "counting without a word": ("user_id", lambda c: c.reconcile()),
    "counting at no time": ("list_time", lambda c: c.reconcile(counting(list_time=None))),
    "counting at an absurd time": (
        "list_time",
        lambda c: c.reconcile(counting(list_time=Timestamp(seconds=2**62))),
    ),
    "counting a run that is no id": (
        "runs.generation_id",
        lambda c: c.reconcile(counting(runs=[counted("x")])),
    ),
    "counting a negative run": (
        "runs.run",
        lambda c: c.reconcile(counting(runs=[counted(str(new_id()), -1)])),
    ),
    "counting negative bytes": (
        "runs.bytes",
        lambda c: c.reconcile(counting(runs=[counted(str(new_id()), 0, -1)])),
    ),
    "counting absurd bytes": (
        "runs.bytes",
        lambda c: c.reconcile(counting(runs=[counted(str(new_id()), 0, TOO_MUCH)])),
    ),
    "counting bytes of an absurd sum": (
        "runs.bytes",
        lambda c: c.reconcile(counting(runs=[counted(str(new_id()), 0, 2**53)] * 2)),
    ),
    "counting too many at once": (
        "runs",
        lambda c: c.reconcile(counting(runs=[counted(str(USER))] * 10_001)),
    ),
}

WRONG_OF_ADMINISTRATORS: dict[str, tuple[str, Call]] = {
    "a limit below unlimited": ("quota_bytes", lambda c: c.limit_user(USER, -2)),
    "an absurd limit": ("quota_bytes", lambda c: c.limit_user(USER, TOO_MUCH)),
    "a group's limit below unlimited": ("quota_bytes", lambda c: c.limit_group(USER, -(2**63))),
    "an absurd default": ("quota_bytes", lambda c: c.limit_default(2**63 - 1)),
    "the limit of a name": (
        "user_id",
        lambda c: c.set_limits(quota_pb2.SetLimitsRequest(user_id="alice", quota_bytes=1)),
    ),
    "the limit of a group's name": (
        "group_id",
        lambda c: c.set_limits(quota_pb2.SetLimitsRequest(group_id="staff", quota_bytes=1)),
    ),
    "a negative page": ("page_size", lambda c: c.list_usage(-1)),
    "a page of 101": ("page_size", lambda c: c.list_usage(101)),
    "a page token of nobody's": ("page_token", lambda c: c.list_usage(1, "next")),
    "the usage of a name": ("user_ids", lambda c: c.usages_of(USER, "alice")),
    "the usage of nobody": ("user_ids", lambda c: c.usages_of("")),
    "the usage of 101": ("user_ids", lambda c: c.usages_of(*[USER] * 101)),
    "days of a name": ("user_id", lambda c: c.days(DAY, DAY, "alice")),
    "days from never": ("first_date", lambda c: c.days("", DAY)),
    "days until never": ("last_date", lambda c: c.days(DAY, "")),
    "a day of no calendar": ("first_date", lambda c: c.days("2026-02-30", "2026-03-01")),
    "a day of the year 0": ("first_date", lambda c: c.days("0000-01-01", DAY)),
    "a day spelt otherwise": ("first_date", lambda c: c.days("20260131", DAY)),
    "a day of a week": ("last_date", lambda c: c.days(DAY, "2026-W05-6")),
    "a day and a time": ("last_date", lambda c: c.days(DAY, f"{DAY}T00:00")),
    "days backwards": ("last_date", lambda c: c.days(DAY, "2026-01-30")),
    "367 days": ("last_date", lambda c: c.days(DAY, "2027-02-01")),
    "a negative page of days": ("page_size", lambda c: c.days(DAY, DAY, page_size=-1)),
    "a page of 101 days": ("page_size", lambda c: c.days(DAY, DAY, page_size=101)),
    "a token of no page": ("page_token", lambda c: c.days(DAY, DAY, page_token="next")),
    "a token without a user": ("page_token", lambda c: c.days(DAY, DAY, page_token=DAY)),
    "a token of another day": (
        "page_token",
        lambda c: c.days(DAY, DAY, page_token=f"2026-02-01/{USER}"),
    ),
    "a token of no day": (
        "page_token",
        lambda c: c.days(DAY, DAY, page_token=f"2026-01-32/{USER}"),
    ),
}

WRONG_PRICES = {
    "none": ("prices", []),
    "without a model": ("prices.model", [Price(credits=1)]),
    "a negative one": ("prices.credits", [Price(model="m", credits=-1)]),
    "an absurd one": ("prices.credits", [Price(model="m", credits=TOO_MUCH)]),
    "of negative seconds": (
        "prices.duration_seconds",
        [Price(model="m", duration_seconds=-1)],
    ),
    "one right, one wrong": ("prices.credits", [Price(model="m"), Price(model="m", credits=-1)]),
    "too many": ("prices", [Price(model="m")] * 1001),
    "at no moment": (
        "prices.effective_time",
        [Price(model="m", effective_time=Timestamp(seconds=-(2**62)))],
    ),
}


@pytest.mark.parametrize(("field", "prices"), WRONG_PRICES.values(), ids=WRONG_PRICES)
async def test_wrong_prices_name_their_field_and_none_is_set(
    callers: Callers, field: str, prices: list[Price]
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await callers.admin.set_prices(*prices)
    assert refused.value.field == field
    assert not [price for price in await callers.admin.prices() if price.model == "m"]


@pytest.mark.parametrize(
    ("field", "call"), WRONG_OF_ADMINISTRATORS.values(), ids=WRONG_OF_ADMINISTRATORS
)
async def test_a_wrong_request_of_an_administrator_names_its_field_and_changes_nothing(
    callers: Callers, field: str, call: Call
) -> None:
    before = await callers.admin.get(USER), await callers.admin.limits()
    with pytest.raises(InvalidArgument) as refused:
        await call(callers.admin)
    assert refused.value.field == field
    assert (await callers.admin.get(USER), await callers.admin.limits()) == before


@pytest.mark.parametrize(("field", "call"), WRONG.values(), ids=WRONG)
async def test_a_wrong_request_names_its_field_and_changes_nothing(
    callers: Callers, field: str, call: Call
) -> None:
    before = await callers.admin.get(USER), await callers.admin.credits(USER)
    with pytest.raises(InvalidArgument) as refused:
        await call(callers.gateway_for(USER))
    assert refused.value.field == field
    assert (await callers.admin.get(USER), await callers.admin.credits(USER)) == before


async def test_an_outcome_from_the_future_is_a_wrong_request(callers: Callers) -> None:
    with pytest.raises(InvalidArgument):
        await callers.gateway_for(USER).settle(new_run(), 0, 99)  # type: ignore[arg-type]


async def test_a_token_for_another_service_is_refused(callers: Callers, keys: Keys) -> None:
    token = keys.signer.sign(str(USER), audience=["storage"], lifetime_seconds=60)
    with pytest.raises(Unauthenticated):
        await callers.bearer(token).get()

"""Who may do what, and which requests are wrong in themselves."""

from collections.abc import Awaitable, Callable

import pytest

from reelgate.common.v1.run_pb2 import Run
from reelgate.quota.v1 import credit_pb2, quota_pb2
from services.kernel.errors import (
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Unauthenticated,
    Unimplemented,
)
from services.kernel.ids import new_id
from services.kernel.status import rpc_errors
from tests.contract.quota.running import NOT_KEPT, Caller, Callers, Keys, new_run

USER = new_id()
OTHER = new_id()
TOO_MUCH = 2**53 + 1

Call = Callable[[Caller], Awaitable[object]]

CALLS: dict[str, Call] = {
    "GetQuota": lambda caller: caller.get(),
    "Admit": lambda caller: caller.admit(new_run(), USER, 1),
    "Settle": lambda caller: caller.settle(new_run(), 1),
    "Release": lambda caller: caller.release(new_run(), USER),
    "SetSubject": lambda caller: caller.set_subject(USER, "", 1),
    "SetLimits": lambda caller: caller.limit_user(USER, 1),
    "ListUsage": lambda caller: caller.list_usage(),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_nothing_is_answered_without_a_token(callers: Callers, call: Call) -> None:
    with pytest.raises(Unauthenticated):
        await call(callers.stranger)


@pytest.mark.parametrize("name", [name for name in CALLS if name != "GetQuota"])
async def test_a_user_may_only_look_at_his_quota(callers: Callers, name: str) -> None:
    with pytest.raises(PermissionDenied):
        await CALLS[name](callers.person(USER))


@pytest.mark.parametrize("name", ["Admit", "Settle", "Release", "SetSubject"])
async def test_an_administrator_does_not_act_for_runs_himself(callers: Callers, name: str) -> None:
    with pytest.raises(PermissionDenied):
        await CALLS[name](callers.admin)


@pytest.mark.parametrize("name", ["SetLimits", "ListUsage"])
async def test_a_service_may_manage_limits_and_see_usage(callers: Callers, name: str) -> None:
    await CALLS[name](callers.gateway_for(USER))


async def test_a_quota_is_shown_to_its_user_to_administrators_and_to_services(
    callers: Callers,
) -> None:
    for caller in (callers.person(USER), callers.admin, callers.gateway_for(OTHER)):
        assert (await caller.get(USER)).user_id == str(USER)
    with pytest.raises(PermissionDenied):
        await callers.person(OTHER).get(USER)


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
    "a limit below unlimited": ("quota_bytes", lambda c: c.limit_user(USER, -2)),
    "an absurd limit": ("quota_bytes", lambda c: c.limit_user(USER, TOO_MUCH)),
    "a negative page": ("page_size", lambda c: c.list_usage(-1)),
    "a page of 101": ("page_size", lambda c: c.list_usage(101)),
    "a page token of nobody's": ("page_token", lambda c: c.list_usage(1, "next")),
    "the quota of a name": ("user_id", lambda c: c.get("alice")),
}


@pytest.mark.parametrize(("field", "call"), WRONG.values(), ids=WRONG)
async def test_a_wrong_request_names_its_field_and_changes_nothing(
    callers: Callers, field: str, call: Call
) -> None:
    before = await callers.admin.get(USER)
    with pytest.raises(InvalidArgument) as refused:
        await call(callers.gateway_for(USER))
    assert refused.value.field == field
    assert await callers.admin.get(USER) == before


async def test_an_outcome_from_the_future_is_a_wrong_request(callers: Callers) -> None:
    with pytest.raises(InvalidArgument):
        await callers.gateway_for(USER).settle(new_run(), 0, 99)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("method", "request_message"),
    [
        ("GetCredits", credit_pb2.GetCreditsRequest()),
        ("GrantCredits", credit_pb2.GrantCreditsRequest()),
        ("SetPrices", credit_pb2.SetPricesRequest()),
        ("Quote", credit_pb2.QuoteRequest()),
        ("ListTransactions", credit_pb2.ListTransactionsRequest()),
    ],
)
async def test_credits_are_announced_but_not_there_yet(
    callers: Callers, method: str, request_message: object
) -> None:
    admin = callers.admin
    with pytest.raises(Unimplemented, match="not available in this version"), rpc_errors():
        await getattr(admin.credits, method)(request_message, metadata=admin.metadata)


async def test_a_token_for_another_service_is_refused(callers: Callers, keys: Keys) -> None:
    token = keys.signer.sign(str(USER), audience=["storage"], lifetime_seconds=60)
    with pytest.raises(Unauthenticated):
        await callers.bearer(token).get()

"""Which limit is in force (G1), who told it (G6), and that a change counts at the next statement."""

import asyncio
from uuid import UUID

import psycopg
import pytest

from reelgate.quota.v1 import quota_pb2
from services.kernel.errors import InvalidArgument, ResourceExhausted
from services.kernel.ids import new_id
from services.kernel.migrations import migrate
from services.quota.__main__ import MIGRATIONS
from tests.contract.quota.running import Callers, Keys, new_run, quota_server

USER = quota_pb2.QUOTA_SOURCE_USER
GROUP = quota_pb2.QUOTA_SOURCE_GROUP
DEFAULT = quota_pb2.QUOTA_SOURCE_DEFAULT
UNLIMITED = quota_pb2.QUOTA_SOURCE_UNLIMITED


@pytest.mark.parametrize(
    ("own", "groups", "default", "expected", "source"),
    [
        (100, 200, 300, 100, USER),
        (0, 200, 300, 200, GROUP),
        (0, 0, 300, 300, DEFAULT),
        (0, 0, 0, -1, UNLIMITED),
        (-1, 200, 300, -1, UNLIMITED),
        (0, -1, 300, -1, UNLIMITED),
        (0, 0, -1, -1, UNLIMITED),
        (100, -1, -1, 100, USER),
    ],
)
async def test_g1_the_users_limit_wins_then_the_groups_then_the_default(
    callers_of_new_books: Callers, own: int, groups: int, default: int, expected: int, source: int
) -> None:
    callers = callers_of_new_books
    user, group = new_id(), new_id()
    await callers.gateway_for(user).set_subject(user, group, 1)
    await callers.admin.limit_user(user, own)
    await callers.admin.limit_group(group, groups)
    await callers.admin.limit_default(default)
    quota = await callers.person(user).get()
    assert (quota.quota_bytes, quota.available_bytes) == (expected, expected)
    assert quota.source == source


async def test_a_user_never_heard_of_has_the_default_of_the_installation(
    database: str, keys: Keys
) -> None:
    await migrate(database, MIGRATIONS)
    async with quota_server(database, keys, default_bytes=5000) as callers:
        user = new_id()
        quota = await callers.person(user).get()
        assert quota == quota_pb2.Quota(
            user_id=str(user), quota_bytes=5000, available_bytes=5000, source=DEFAULT
        )
        await callers.admin.limit_default(7000)
        assert (await callers.person(user).get()).quota_bytes == 7000
        await callers.admin.limit_default(0)
        assert (await callers.person(user).get()).quota_bytes == 5000


async def test_a_lowered_limit_counts_at_the_next_statement_also_below_what_is_used(
    callers: Callers,
) -> None:
    user = new_id()
    gateway = callers.gateway_for(user)
    run = new_run()
    await gateway.admit(run, user, 500)
    await gateway.settle(run, 500)
    await callers.admin.limit_user(user, 100)
    quota = await gateway.get()
    assert (quota.used_bytes, quota.quota_bytes, quota.available_bytes) == (500, 100, 0)
    with pytest.raises(ResourceExhausted) as refused:
        await gateway.admit(new_run(), user, 1)
    assert refused.value.metadata["quota"] == "100"
    await callers.admin.limit_user(user, 501)
    await gateway.admit(new_run(), user, 1)


async def test_a_groups_new_limit_counts_for_an_admit_that_was_waiting_for_the_users_row(
    callers: Callers, shared_books: str
) -> None:
    """The limit is read after the lock is held, so it can not be an old one."""
    user, group = new_id(), new_id()
    gateway = callers.gateway_for(user)
    await gateway.set_subject(user, group, 1)
    await callers.admin.limit_group(group, 1000)
    async with await psycopg.AsyncConnection.connect(shared_books) as other:
        await other.execute("SELECT 1 FROM subjects WHERE user_id = %s FOR UPDATE", (user,))
        waiting = asyncio.create_task(gateway.admit(new_run(), user, 800))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        await callers.admin.limit_group(group, 500)
        await other.rollback()
        with pytest.raises(ResourceExhausted) as refused:
            await waiting
    assert refused.value.metadata["quota"] == "500"


async def test_an_older_membership_is_ignored(callers: Callers) -> None:
    user, old, new = new_id(), new_id(), new_id()
    gateway = callers.gateway_for(user)
    await callers.admin.limit_group(old, 100)
    await callers.admin.limit_group(new, 200)
    await gateway.set_subject(user, new, 7)
    await gateway.set_subject(user, old, 6)
    assert (await gateway.get()).quota_bytes == 200
    await gateway.set_subject(user, "", 8)
    assert (await gateway.get()).source == UNLIMITED


async def test_membership_and_limits_do_not_disturb_each_other_or_the_figures(
    callers: Callers,
) -> None:
    user, group = new_id(), new_id()
    gateway = callers.gateway_for(user)
    await gateway.admit(new_run(), user, 50)
    await callers.admin.limit_user(user, 90)
    await gateway.set_subject(user, group, 0)
    quota = await gateway.get()
    assert (quota.quota_bytes, quota.reserved_bytes) == (90, 50)


async def test_usage_is_listed_by_user_id_page_by_page(callers_of_new_books: Callers) -> None:
    callers = callers_of_new_books
    users = sorted(UUID(int=number) for number in (7, 3, 9, 1, 5))
    for size, user in enumerate(users, start=1):
        await callers.gateway_for(user).admit(new_run(), user, size)
    await callers.admin.limit_default(100)

    seen: list[quota_pb2.Usage] = []
    token = ""
    pages = 0
    while pages == 0 or token:
        page = await callers.admin.list_usage(2, token)
        seen.extend(page.usages)
        token = page.next_page_token
        pages += 1

    assert pages == 3
    assert [usage.quota.user_id for usage in seen] == [str(user) for user in users]
    assert [usage.quota.reserved_bytes for usage in seen] == [1, 2, 3, 4, 5]
    assert {usage.quota.quota_bytes for usage in seen} == {100}
    assert all(usage.update_time.ToSeconds() > 0 for usage in seen)


async def test_a_page_has_twenty_users_unless_asked_otherwise(
    callers_of_new_books: Callers,
) -> None:
    callers = callers_of_new_books
    for number in range(21):
        await callers.admin.limit_user(UUID(int=number + 1), 10)
    page = await callers.admin.list_usage()
    assert len(page.usages) == 20
    assert page.next_page_token
    last = await callers.admin.list_usage(100, page.next_page_token)
    assert len(last.usages) == 1
    assert last.next_page_token == ""


async def test_setting_a_limit_again_is_harmless(callers: Callers) -> None:
    user = new_id()
    for _ in range(2):
        await callers.admin.limit_user(user, 10)
    assert (await callers.person(user).get()).quota_bytes == 10


async def test_a_limit_needs_a_target(callers: Callers) -> None:
    for request in (
        quota_pb2.SetLimitsRequest(quota_bytes=5),
        quota_pb2.SetLimitsRequest(default=False, quota_bytes=5),
    ):
        with pytest.raises(InvalidArgument) as refused:
            await callers.admin.set_limits(request)
        assert refused.value.field == "target"


async def test_h3_the_limits_that_are_set_are_listed_by_group_with_the_default_in_force(
    callers_of_new_books: Callers,
) -> None:
    admin = callers_of_new_books.admin
    assert await admin.limits() == quota_pb2.ListLimitsResponse()
    groups = sorted(new_id() for _ in range(3))
    for group, limit in zip(reversed(groups), (30, -1, 10), strict=True):
        await admin.limit_group(group, limit)
    await admin.limit_group(groups[0], 0)
    await admin.limit_default(-1)
    listed = await admin.limits()
    assert listed.default_bytes == -1
    assert [(limit.group_id, limit.quota_bytes) for limit in listed.groups] == [
        (str(groups[0]), 0),
        (str(groups[1]), -1),
        (str(groups[2]), 30),
    ]


async def test_h3_without_a_default_that_was_set_the_one_of_the_installation_is_in_force(
    database: str, keys: Keys
) -> None:
    await migrate(database, MIGRATIONS)
    async with quota_server(database, keys, default_bytes=5000) as callers:
        assert (await callers.admin.limits()).default_bytes == 5000
        await callers.admin.limit_default(7000)
        assert (await callers.admin.limits()).default_bytes == 7000
        await callers.admin.limit_default(0)
        assert (await callers.admin.limits()).default_bytes == 5000


async def test_h3_usage_tells_the_users_own_limit_and_his_credits(
    callers_of_new_books: Callers,
) -> None:
    callers = callers_of_new_books
    user, group = new_id(), new_id()
    gateway = callers.gateway_for(user)
    await gateway.set_subject(user, group, 1)
    await callers.admin.limit_group(group, 500)
    await gateway.admit(new_run(), user, 40, 30)
    (usage,) = (await callers.admin.list_usage()).usages
    assert usage.quota == await gateway.get()
    assert usage.credits == await gateway.credits()
    assert (usage.limit_bytes, usage.quota.quota_bytes) == (0, 500)
    assert (usage.credits.balance, usage.credits.held) == (970, 30)
    for own in (90, -1):
        await callers.admin.limit_user(user, own)
        (usage,) = (await callers.admin.list_usage()).usages
        assert usage.limit_bytes == usage.quota.quota_bytes == own


async def test_h3_certain_users_are_told_in_the_order_asked_for(callers: Callers) -> None:
    known, other, unknown = new_id(), new_id(), new_id()
    await callers.gateway_for(known).admit(new_run(), known, 5, 7)
    await callers.admin.limit_user(other, 100)
    asked = (other, unknown, known, other)
    told = await callers.admin.usages_of(*asked)
    assert [usage.quota.user_id for usage in told] == [str(user) for user in asked]
    assert [usage.credits.user_id for usage in told] == [str(user) for user in asked]
    assert [usage.quota.reserved_bytes for usage in told] == [0, 0, 5, 0]
    assert [usage.credits.held for usage in told] == [0, 0, 7, 0]
    assert [usage.limit_bytes for usage in told] == [100, 0, 0, 100]
    assert [usage.HasField("update_time") for usage in told] == [True, False, True, True]
    # Looking at somebody gives him nothing.
    assert [usage.credits.total_earned for usage in told] == [0, 0, 1000, 0]
    assert told[1].quota == await callers.person(unknown).get()


async def test_h3_a_hundred_users_are_told_and_none_when_nobody_is_named(callers: Callers) -> None:
    users = [new_id() for _ in range(100)]
    told = await callers.admin.usages_of(*users)
    assert [usage.quota.user_id for usage in told] == list(map(str, users))
    assert await callers.admin.usages_of() == []

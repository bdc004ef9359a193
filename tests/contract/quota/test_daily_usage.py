"""What became of the runs of each day: of the day they were admitted, as it is now (G7, H3)."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import psycopg
import pytest

from reelgate.common.v1.run_pb2 import Run
from reelgate.quota.v1 import quota_pb2
from services.kernel.errors import PermissionDenied
from services.kernel.ids import new_id
from tests.contract.quota.running import NOT_KEPT, Caller, Callers, leased, new_run

DAY = date(2026, 1, 31)
Figures = tuple[int, int, int, int, int, int]


@pytest.fixture
def user() -> UUID:
    return new_id()


@pytest.fixture
def gateway(callers: Callers, user: UUID) -> Caller:
    return callers.gateway_for(user)


def figures(usage: quota_pb2.DailyUsage) -> Figures:
    """Runs, kept, delivered, failed, bytes, credits."""
    return (
        usage.run_count,
        usage.kept_count,
        usage.delivered_count,
        usage.failed_count,
        usage.kept_bytes,
        usage.spent_credits,
    )


async def today(caller: Caller) -> Figures:
    """All that the caller's runs come to, which were all admitted just now (it may be about midnight)."""
    now = datetime.now(UTC).date()
    listed = await caller.days(now - timedelta(days=1), now + timedelta(days=1))
    every = [figures(one) for one in listed.days]
    a, b, c, d, e, f = (sum(column) for column in zip(*every, strict=True)) if every else (0,) * 6
    return a, b, c, d, e, f


async def admitted_at(database: str, user: UUID, *moments: datetime) -> None:
    """Runs of the user that were admitted then and are still open."""
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        for moment in moments:
            await connection.execute(
                """
                INSERT INTO reservations (generation_id, run, user_id, state, create_time)
                VALUES (%s, 0, %s, 'reserved', %s)
                """,
                (new_id(), user, moment),
            )


def at(day: date, hour: int = 12, minute: int = 0, second: int = 0) -> datetime:
    return datetime(day.year, day.month, day.day, hour, minute, second, tzinfo=UTC)


async def test_each_run_is_counted_once_by_what_became_of_it(gateway: Caller, user: UUID) -> None:
    kept, not_kept, failed, deleted, open_run = (new_run() for _ in range(5))
    for price, run in enumerate((kept, not_kept, failed, deleted, open_run)):
        await gateway.admit(run, user, 100, 2**price)
    assert await today(gateway) == (5, 0, 0, 0, 0, 0)
    await gateway.settle(kept, 80)
    await gateway.settle(not_kept, 0, NOT_KEPT)
    await gateway.release(failed)
    await gateway.settle(deleted, 50)
    assert await today(gateway) == (5, 2, 1, 1, 130, 11)
    await gateway.release(deleted)
    assert await today(gateway) == (5, 1, 2, 1, 80, 11)


async def test_what_is_saved_is_kept_and_its_price_is_not_spent_again(
    gateway: Caller, user: UUID
) -> None:
    run = new_run()
    await gateway.admit(run, user, 100, 7)
    await gateway.settle(leased(run, 1), 0, NOT_KEPT)
    await gateway.save(leased(run, 2), user, 90)
    assert await today(gateway) == (1, 0, 1, 0, 0, 7)
    await gateway.settle(leased(run, 2), 90)
    assert await today(gateway) == (1, 1, 0, 0, 90, 7)


async def test_a_save_that_is_given_up_was_delivered_all_the_same(
    gateway: Caller, user: UUID
) -> None:
    run = new_run()
    await gateway.admit(run, user, 100, 7)
    await gateway.settle(leased(run, 1), 0, NOT_KEPT)
    await gateway.save(leased(run, 2), user, 90)
    await gateway.release(leased(run, 3))
    assert await today(gateway) == (1, 0, 1, 0, 0, 7)


async def test_a_run_that_was_released_before_it_was_admitted_is_no_run(
    gateway: Caller, user: UUID
) -> None:
    await gateway.release(new_run(), user)
    assert await today(gateway) == (0, 0, 0, 0, 0, 0)
    free = new_run()
    await gateway.admit(free, user, 0)
    await gateway.release(free)
    assert await today(gateway) == (1, 0, 0, 1, 0, 0)


async def test_credits_held_for_requests_are_no_run(gateway: Caller, user: UUID) -> None:
    request = new_id()
    await gateway.hold(request, user, 5)
    await gateway.capture(request)
    assert await today(gateway) == (0, 0, 0, 0, 0, 0)


async def test_a_run_stays_with_the_day_it_was_admitted_also_when_it_is_saved_later(
    callers: Callers, gateway: Caller, user: UUID, shared_books: str
) -> None:
    run: Run = new_run()
    await gateway.admit(run, user, 100, 7)
    await gateway.settle(leased(run, 1), 0, NOT_KEPT)
    async with await psycopg.AsyncConnection.connect(shared_books, autocommit=True) as connection:
        await connection.execute(
            "UPDATE reservations SET create_time = %s WHERE generation_id = %s",
            (at(DAY), run.generation_id),
        )
    await gateway.save(leased(run, 2), user, 90)
    await gateway.settle(leased(run, 2), 90)
    assert await today(gateway) == (0, 0, 0, 0, 0, 0)
    (usage,) = (await gateway.days(DAY, DAY)).days
    assert figures(usage) == (1, 1, 0, 0, 90, 7)


async def test_days_begin_at_midnight_in_utc_and_both_ends_are_included(
    callers: Callers, user: UUID, shared_books: str
) -> None:
    before, after = DAY - timedelta(days=1), DAY + timedelta(days=1)
    last_second = at(DAY, 23, 59, 59) + timedelta(microseconds=999_999)
    await admitted_at(
        shared_books, user, at(before, 23, 59, 59), at(DAY, 0), last_second, at(after, 0)
    )
    person = callers.person(user)

    async def counts(first: date, last: date) -> dict[str, int]:
        return {usage.date: usage.run_count for usage in (await person.days(first, last)).days}

    assert await counts(DAY, DAY) == {"2026-01-31": 2}
    assert await counts(before, after) == {"2026-01-30": 1, "2026-01-31": 2, "2026-02-01": 1}
    assert await counts(DAY - timedelta(days=365), DAY) == {"2026-01-30": 1, "2026-01-31": 2}
    assert await counts(date(1, 1, 1), date(1, 1, 1)) == {}
    assert await counts(date(9999, 12, 31), date(9999, 12, 31)) == {}


async def test_a_user_asks_for_himself_and_an_administrator_for_anyone_or_all(
    callers_of_new_books: Callers, database: str
) -> None:
    callers = callers_of_new_books
    ann, bob = sorted(new_id() for _ in range(2))
    for user in (ann, bob):
        await admitted_at(database, user, at(DAY))

    async def seen(caller: Caller, user: UUID | str = "") -> list[str]:
        return [usage.user_id for usage in (await caller.days(DAY, DAY, user)).days]

    assert await seen(callers.person(ann)) == [str(ann)]
    assert await seen(callers.person(ann), ann) == [str(ann)]
    assert await seen(callers.gateway_for(ann)) == [str(ann)]
    assert await seen(callers.admin) == [str(ann), str(bob)]
    assert await seen(callers.admin, bob) == [str(bob)]
    for other in (callers.person(bob), callers.gateway_for(bob), callers.gateway_for("system")):
        with pytest.raises(PermissionDenied):
            await seen(other, ann)


@pytest.mark.parametrize("page_size", [1, 2, 3, 100])
async def test_days_are_listed_by_date_then_user_page_by_page(
    callers_of_new_books: Callers, database: str, page_size: int
) -> None:
    callers = callers_of_new_books
    users = sorted(new_id() for _ in range(3))
    days = [DAY + timedelta(days=offset) for offset in (0, 1, 40)]
    for user in users:
        await admitted_at(database, user, *(at(day) for day in days), at(days[-1], 13))
    # One of them had nothing to do in between.
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        await connection.execute(
            "DELETE FROM reservations WHERE user_id = %s AND create_time = %s",
            (users[1], at(days[1])),
        )

    async def all_pages(user: UUID | str) -> Sequence[tuple[str, str, int]]:
        seen: list[tuple[str, str, int]] = []
        token, pages = "", 0
        while token or not pages:
            page = await callers.admin.days(
                days[0], days[-1], user, page_size=page_size, page_token=token
            )
            assert len(page.days) == page_size or not page.next_page_token
            seen += [(usage.date, usage.user_id, usage.run_count) for usage in page.days]
            token, pages = page.next_page_token, pages + 1
        return seen

    expected = [
        (str(day), str(user), 2 if day is days[-1] else 1)
        for day in days
        for user in users
        if (day, user) != (days[1], users[1])
    ]
    assert await all_pages("") == expected
    for user in users:
        assert await all_pages(user) == [row for row in expected if row[1] == str(user)]


async def test_a_page_has_twenty_days_unless_asked_otherwise(
    callers: Callers, user: UUID, shared_books: str
) -> None:
    await admitted_at(shared_books, user, *(at(DAY + timedelta(days=n)) for n in range(21)))
    person = callers.person(user)
    page = await person.days(DAY, DAY + timedelta(days=365))
    assert len(page.days) == 20
    rest = await person.days(DAY, DAY + timedelta(days=365), page_token=page.next_page_token)
    assert [usage.date for usage in rest.days] == ["2026-02-20"]
    assert rest.next_page_token == ""

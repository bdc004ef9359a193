"""Calls that go to the database together are decided each for itself."""

import asyncio
from collections import Counter
from uuid import UUID

import psycopg

from services.kernel.ids import new_id
from services.kernel.postgres import Pool
from services.kernel.runtime import background
from services.quota.model import Answer, Outcome, Run, Verdict
from services.quota.store.quotas import QuotaStore
from services.quota.store.together import MOST_TOGETHER
from tests.integration.quota.books import drift

_REFUSE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'not this one';
END
$$;
CREATE TRIGGER refuse BEFORE INSERT ON reservations
FOR EACH ROW WHEN (NEW.reserved_bytes = 13) EXECUTE FUNCTION refuse();
"""


async def transactions(pool: Pool) -> Counter[int]:
    """How many reservations each transaction wrote last."""
    async with pool.connection() as connection:
        rows = await (
            await connection.execute(
                "SELECT xmin::text::bigint, count(*) FROM reservations GROUP BY 1"
            )
        ).fetchall()
    return Counter(dict(rows))


async def verdicts(*calls: asyncio.Task[Answer]) -> list[Verdict]:
    return [answer.verdict for answer in await asyncio.gather(*calls)]


async def test_calls_at_once_share_transactions_and_each_has_its_own_answer(
    store: QuotaStore, pool: Pool
) -> None:
    users = [new_id() for _ in range(2 * MOST_TOGETHER)]
    answers = await asyncio.gather(
        *(store.admit(Run(new_id(), 0), user, size, 1) for size, user in enumerate(users))
    )
    for size, (user, answer) in enumerate(zip(users, answers, strict=True)):
        assert (answer.verdict, answer.amount, answer.balance) == (Verdict.DONE, size, 999)
        assert answer.quota is not None
        assert (answer.quota.user_id, answer.quota.reserved_bytes) == (user, size)
    written = await transactions(pool)
    assert len(written) == 2
    assert set(written.values()) == {MOST_TOGETHER}
    assert await drift(pool) == []


async def test_calls_of_one_user_are_decided_in_the_order_they_came(store: QuotaStore) -> None:
    user, runs = new_id(), [Run(new_id(), 0) for _ in range(5)]
    answers = await asyncio.gather(*(store.admit(run, user, 0, 300) for run in runs))
    assert [answer.verdict for answer in answers] == [Verdict.DONE] * 3 + [Verdict.POOR] * 2
    assert [answer.balance for answer in answers] == [700, 400, 100, 100, 100]
    again = await asyncio.gather(*(store.admit(runs[0], user, 0, 300) for _ in range(3)))
    assert {answer.verdict for answer in again} == {Verdict.REPLAYED}


async def test_one_that_the_database_refuses_harms_no_other(store: QuotaStore, pool: Pool) -> None:
    async with pool.connection() as connection:
        await connection.execute(_REFUSE)
    sizes = [1, 2, 13, 4, 13, 6]
    said = await asyncio.gather(
        *(store.admit(Run(new_id(), 0), new_id(), size, 0) for size in sizes),
        return_exceptions=True,
    )
    for size, answer in zip(sizes, said, strict=True):
        if size == 13:
            assert isinstance(answer, psycopg.errors.RaiseException)
        else:
            assert isinstance(answer, Answer)
            assert (answer.verdict, answer.amount) == (Verdict.DONE, size)
    assert await drift(pool) == []


async def test_who_goes_away_while_he_waits_is_left_out_and_the_others_are_answered(
    store: QuotaStore, pool: Pool
) -> None:
    await store.admit(Run(new_id(), 0), new_id(), 1, 0)  # so that the next ones wait a moment
    user = new_id()
    calls = [asyncio.create_task(store.admit(Run(new_id(), 0), user, 1, 0)) for _ in range(10)]
    await asyncio.sleep(0)
    for call in calls[::2]:
        call.cancel()
    assert await verdicts(*calls[1::2]) == [Verdict.DONE] * 5
    assert (await store.get(user)).reserved_bytes == 5
    assert await drift(pool) == []


async def test_all_that_wait_may_go_away(store: QuotaStore) -> None:
    await store.admit(Run(new_id(), 0), new_id(), 1, 0)
    call = asyncio.create_task(store.admit(Run(new_id(), 0), new_id(), 1, 0))
    await asyncio.sleep(0)
    call.cancel()
    await asyncio.wait([call])
    assert (await store.admit(Run(new_id(), 0), new_id(), 1, 0)).verdict is Verdict.DONE


async def test_calls_for_whosever_run_it_is_go_between_the_others(
    store: QuotaStore, pool: Pool
) -> None:
    users = [new_id() for _ in range(20)]
    runs = [Run(new_id(), 0) for _ in users]
    await asyncio.gather(
        *(store.admit(run, user, 5, 2) for run, user in zip(runs, users, strict=True))
    )
    settled = [
        store.settle(run, user if number % 3 else None, 5, Outcome.KEPT)
        for number, (run, user) in enumerate(zip(runs, users, strict=True))
    ]
    answers = await asyncio.gather(*settled)
    assert [answer.verdict for answer in answers] == [Verdict.DONE] * 20
    assert [answer.quota.user_id for answer in answers if answer.quota] == users
    assert await drift(pool) == []


async def test_replicas_whose_calls_cross_each_other_are_all_answered(pool: Pool) -> None:
    """The same runs, claimed by others in the other replica, each of which holds many users' rows: a circle of waits is
    broken by the database, and asked again one by one.
    """
    async with background() as work:
        replicas = [QuotaStore(pool, work, new_user_credits=1000) for _ in range(2)]
        for _ in range(5):
            users, runs = [new_id() for _ in range(12)], [Run(new_id(), 0) for _ in range(12)]
            claims: list[tuple[QuotaStore, Run, UUID]] = [
                *((replicas[0], run, user) for run, user in zip(runs, users, strict=True)),
                *((replicas[1], run, user) for run, user in zip(runs, users[::-1], strict=True)),
            ]
            said = await asyncio.gather(
                *(store.admit(run, user, 1, 1) for store, run, user in claims)
            )
            owned = Counter(
                run.generation_id
                for (_, run, _), answer in zip(claims, said, strict=True)
                if answer.verdict is Verdict.DONE
            )
            assert owned == Counter(run.generation_id for run in runs)
            assert {answer.verdict for answer in said} == {Verdict.DONE, Verdict.MISMATCH}
    assert await drift(pool) == []

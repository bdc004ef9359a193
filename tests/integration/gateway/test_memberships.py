"""G1: quota is told who is in which group, in the end always, and what it was told last is what is so."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from services.gateway.people import UserChange
from services.gateway.store.memberships import MembershipStore
from services.gateway.store.people import PeopleStore
from services.gateway.worker.memberships import Memberships
from services.kernel.errors import Unavailable
from services.kernel.ids import new_id
from services.kernel.postgres import Pool


class Quota:
    """Remembers as quota does: an older version than the last one is ignored."""

    def __init__(self) -> None:
        self.known: dict[UUID, tuple[int, UUID | None]] = {}
        self.calls = 0
        self.away = False
        self.answers_are_lost = False

    async def set_subject(self, user_id: UUID, group_id: UUID | None, version: int) -> None:
        self.calls += 1
        await asyncio.sleep(0)
        if self.away:
            raise Unavailable("away")
        if version >= self.known.get(user_id, (0, None))[0]:
            self.known[user_id] = (version, group_id)
        if self.answers_are_lost:
            raise Unavailable("lost")

    def group(self, user_id: UUID) -> UUID | None:
        return self.known[user_id][1]


@pytest.fixture
def people(pool: Pool) -> PeopleStore:
    return PeopleStore(pool)


@pytest.fixture
def outbox(pool: Pool) -> MembershipStore:
    return MembershipStore(pool)


@pytest.fixture
async def group(people: PeopleStore) -> UUID:
    return (await people.add_group(new_id(), f"group {new_id()}")).id


async def person(people: PeopleStore, group_id: UUID | None = None) -> UUID:
    user_id = new_id()
    await people.add_user(user_id, f"{user_id}@example.com", "hash", "user", group_id)
    return user_id


async def move(people: PeopleStore, user_id: UUID, group_id: UUID | None) -> None:
    await people.update_user(user_id, UserChange(moves=True, group_id=group_id), None)


async def hints(count: int = 1) -> AsyncIterator[object]:
    for _ in range(count):
        yield None


async def tell(outbox: MembershipStore, quota: Quota, times: int = 1) -> None:
    await Memberships(outbox, quota, retry_seconds=0).tell_at(hints(times))


async def test_g1_whoever_was_never_in_a_group_is_not_told(
    people: PeopleStore, outbox: MembershipStore
) -> None:
    user = await person(people)
    await people.update_user(user, UserChange(disabled=True), None)
    assert await outbox.untold(10) == []


async def test_g1_coming_changing_and_leaving_are_told_once_each(
    people: PeopleStore, outbox: MembershipStore, group: UUID
) -> None:
    quota, other = Quota(), (await people.add_group(new_id(), "other")).id
    user = await person(people, group)
    for target in (group, other, None):
        await move(people, user, target)
        await move(people, user, target)  # nothing changes by it
        await tell(outbox, quota)
        assert quota.group(user) == target
    assert quota.calls == 3


async def test_g1_a_group_that_is_removed_loses_its_users(
    people: PeopleStore, outbox: MembershipStore, group: UUID
) -> None:
    quota = Quota()
    users = [await person(people, group) for _ in range(5)]
    await tell(outbox, quota)
    assert {quota.group(user) for user in users} == {group}
    await people.remove_group(group)
    await tell(outbox, quota)
    assert {quota.group(user) for user in users} == {None}


async def test_g1_what_could_not_be_told_is_told_when_quota_is_back(
    people: PeopleStore, outbox: MembershipStore, group: UUID
) -> None:
    quota = Quota()
    users = [await person(people, group) for _ in range(3)]
    quota.away = True
    await tell(outbox, quota, 2)
    assert len(await outbox.untold(10)) == 3
    quota.away, quota.answers_are_lost = False, True
    await tell(outbox, quota)
    assert len(await outbox.untold(10)) == 3
    quota.answers_are_lost = False
    await tell(outbox, quota)
    assert {quota.group(user) for user in users} == {group}
    assert await outbox.untold(10) == []


async def test_g1_more_than_a_batch_is_told_at_one_hint(
    people: PeopleStore, outbox: MembershipStore, pool: Pool, group: UUID
) -> None:
    async with pool.connection() as connection:
        await connection.execute(
            "INSERT INTO users (id, email, password_hash, role, group_id)"
            " SELECT gen_random_uuid(), 'u' || n, 'x', 'user', %s FROM generate_series(1, 250) n",
            (group,),
        )
    quota = Quota()
    await tell(outbox, quota)
    assert len(quota.known) == 250


async def test_g1_a_change_while_an_older_one_is_being_told_is_not_forgotten(
    people: PeopleStore, outbox: MembershipStore, group: UUID
) -> None:
    user = await person(people, group)
    (older,) = await outbox.untold(10)
    await move(people, user, None)
    await outbox.told(older)
    (newer,) = await outbox.untold(10)
    assert (newer.group_id, newer.version) == (None, older.version + 1)
    await outbox.told(newer)
    await outbox.told(older)  # a slower replica
    assert await outbox.untold(10) == []


async def test_g1_whatever_two_replicas_do_at_once_the_last_word_is_what_is_so(
    people: PeopleStore, outbox: MembershipStore, group: UUID
) -> None:
    quota = Quota()
    users = [await person(people) for _ in range(4)]

    async def change() -> None:
        for number in range(40):
            await move(people, users[number % 4], group if number % 3 else None)

    async def replica() -> None:
        while not changing.done():
            await tell(outbox, quota)

    changing = asyncio.ensure_future(change())
    await asyncio.gather(changing, replica(), replica())
    await tell(outbox, quota)
    for user in users:
        assert quota.group(user) == (await people.user(user)).group_id


async def test_g1_a_change_wakes_whoever_tells(
    people: PeopleStore, outbox: MembershipStore, group: UUID, database: str
) -> None:
    quota = Quota()
    telling = asyncio.ensure_future(Memberships(outbox, quota).tell_for_ever(database))
    try:
        await asyncio.sleep(0.5)  # it listens by now, and does not look by itself for five seconds
        user = await person(people, group)
        async with asyncio.timeout(3):
            while user not in quota.known:
                await asyncio.sleep(0.02)
    finally:
        telling.cancel()
        await asyncio.wait({telling})

"""Users and groups (H1, H3)."""

import asyncio

import pytest

from reelgate.gateway.v1 import identity_pb2
from services.kernel.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ReelgateError,
    Unimplemented,
)
from services.kernel.ids import new_id
from tests.contract.gateway.identity.running import PASSWORD, Gateway

pytestmark = pytest.mark.usefixtures("quick_hashes")


async def test_nobody_registers_where_it_is_closed(gateway: Gateway) -> None:
    with pytest.raises(FailedPrecondition) as refused:
        await gateway.stranger.Register(email="ada@example.com", password=PASSWORD)
    assert refused.value.reason == "REGISTRATION_CLOSED"
    assert await gateway.sql("SELECT id FROM users") == []


async def test_who_registers_is_a_user_and_can_log_in(open_gateway: Gateway) -> None:
    answer = await open_gateway.stranger.Register(email="Ada@Example.com", password=PASSWORD)
    assert answer.user.email == "ada@example.com"
    assert answer.user.role == identity_pb2.ROLE_USER
    assert answer.user.create_time.seconds > 0
    assert (await open_gateway.login()).access_token


async def test_an_address_is_taken_once(open_gateway: Gateway) -> None:
    await open_gateway.stranger.Register(email="ada@example.com", password=PASSWORD)
    for email in ("ada@example.com", "ADA@example.com", "ａｄａ@example.com"):
        with pytest.raises(AlreadyExists) as refused:
            await open_gateway.stranger.Register(email=email, password="another password")
        assert refused.value.reason == "EMAIL_TAKEN"
    assert (await open_gateway.login()).access_token


async def test_of_twenty_who_want_one_address_at_once_one_gets_it(open_gateway: Gateway) -> None:
    tries = (
        open_gateway.stranger.Register(email="ada@example.com", password=f"password {n:04}")
        for n in range(20)
    )
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert len(failures) == 19
    assert all(isinstance(failure, AlreadyExists) for failure in failures)
    assert len(await open_gateway.sql("SELECT id FROM users")) == 1


@pytest.mark.parametrize(
    "email",
    [
        "",
        "ada",
        "@example.com",
        "ada@",
        "a@b@c",
        "ada lovelace@example.com",
        "ada@exam\nple.com",
        "ada\x00@example.com",
        f"{'a' * 250}@example.com",
        "a" * 100_000,
    ],
)
async def test_what_is_no_address_is_refused(gateway: Gateway, email: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await gateway.admin.CreateUser(email=email, password=PASSWORD)
    assert refused.value.field == "email"


@pytest.mark.parametrize("password", ["", "seven77", "x" * 129, "\ufdfa" * 100])
async def test_a_password_has_8_to_128_characters(gateway: Gateway, password: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await gateway.admin.CreateUser(email="ada@example.com", password=password)
    assert refused.value.field == "password"


@pytest.mark.parametrize("password", ["eight888", "x" * 128, "密码密码密码密码", " spaces count "])
async def test_any_characters_make_a_password(gateway: Gateway, password: str) -> None:
    await gateway.admin.CreateUser(email="ada@example.com", password=password)
    assert (await gateway.login(password=password)).access_token


async def test_an_administrator_makes_administrators(gateway: Gateway) -> None:
    group = (await gateway.admin.CreateGroup(name="Painters")).group
    user = await gateway.person(role="ROLE_ADMIN", group_id=group.id)
    assert (user.role, user.group_id) == (identity_pb2.ROLE_ADMIN, group.id)
    made = gateway.bearer((await gateway.login()).access_token)
    assert list((await made.ListUsers()).users) == [user]
    assert (await made.GetUser(user_id=user.id)).user == user


async def test_users_are_listed_in_pages(gateway: Gateway) -> None:
    made = [await gateway.person(f"{name}@example.com") for name in ("a", "b", "c", "d", "e")]
    listed: list[identity_pb2.User] = []
    token = ""
    for size in (2, 2, 1):
        page = await gateway.admin.ListUsers(page_size=2, page_token=token)
        assert len(page.users) == size
        listed += page.users
        token = page.next_page_token
    assert token == ""
    assert listed == made


async def test_users_are_found_by_a_part_of_their_address(gateway: Gateway) -> None:
    for email in ("ada@example.com", "grace@example.org", "100%_@example.com"):
        await gateway.person(email)
    for query, found in (
        ("", 3),
        ("EXAMPLE.com", 2),
        ("ada", 1),
        ("%_", 1),
        ("nobody", 0),
    ):
        assert len((await gateway.admin.ListUsers(query=query)).users) == found


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("page_size", -1),
        ("page_size", 101),
        ("page_token", "no id"),
        ("query", "a\x00b"),
    ],
)
async def test_a_page_that_can_not_be_is_refused(
    gateway: Gateway, field: str, value: object
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await gateway.admin.ListUsers(**{field: value})
    assert refused.value.field == field


async def test_what_is_absent_from_a_change_stays(gateway: Gateway) -> None:
    group = (await gateway.admin.CreateGroup(name="Painters")).group
    user = await gateway.person(role="ROLE_ADMIN", group_id=group.id)
    assert (await gateway.admin.UpdateUser(user_id=user.id)).user == user
    changed = (await gateway.admin.UpdateUser(user_id=user.id, disabled=True)).user
    assert (changed.disabled, changed.role, changed.group_id) == (True, user.role, group.id)
    changed = (await gateway.admin.UpdateUser(user_id=user.id, disabled=False, group_id="")).user
    assert (changed.disabled, changed.role, changed.group_id) == (False, user.role, "")


async def test_a_new_password_replaces_the_old_one(gateway: Gateway) -> None:
    user = await gateway.person()
    await gateway.admin.UpdateUser(user_id=user.id, password="a better password")
    assert (await gateway.login(password="a better password")).access_token
    with pytest.raises(ReelgateError):
        await gateway.login()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"role": 7}, "role"),
        ({"password": "short"}, "password"),
        ({"group_id": "no id"}, "group_id"),
        ({"group_id": str(new_id())}, "group_id"),
    ],
)
async def test_a_change_that_can_not_be_is_refused(
    gateway: Gateway, change: dict[str, object], field: str
) -> None:
    user = await gateway.person()
    with pytest.raises(InvalidArgument) as refused:
        await gateway.admin.UpdateUser(user_id=user.id, **change)
    assert refused.value.field == field
    assert (await gateway.admin.GetUser(user_id=user.id)).user == user


async def test_nobody_takes_his_own_rights_away(gateway: Gateway) -> None:
    user = await gateway.person(role="ROLE_ADMIN")
    herself = gateway.bearer((await gateway.login()).access_token)
    for change in ({"disabled": True}, {"role": "ROLE_USER"}):
        with pytest.raises(FailedPrecondition) as refused:
            await herself.UpdateUser(user_id=user.id, **change)
        assert refused.value.reason == "OWN_ACCOUNT"
    await herself.UpdateUser(user_id=user.id, password="a better password")


async def test_a_user_who_is_not_there_is_not_found(gateway: Gateway) -> None:
    nobody = str(new_id())
    with pytest.raises(NotFound):
        await gateway.admin.GetUser(user_id=nobody)
    with pytest.raises(NotFound):
        await gateway.admin.UpdateUser(user_id=nobody, disabled=True)
    with pytest.raises(InvalidArgument):
        await gateway.admin.GetUser(user_id="no id")


async def test_removing_a_user_comes_later(gateway: Gateway) -> None:
    with pytest.raises(Unimplemented, match="Disable him instead"):
        await gateway.admin.DeleteUser(user_id=str(new_id()))


async def test_groups_are_made_renamed_listed_and_removed(gateway: Gateway) -> None:
    painters = (await gateway.admin.CreateGroup(name=" Painters ")).group
    assert painters.name == "Painters"
    authors = (await gateway.admin.CreateGroup(name="Authors")).group
    assert list((await gateway.admin.ListGroups()).groups) == [authors, painters]
    user = await gateway.person(group_id=painters.id)
    renamed = (await gateway.admin.UpdateGroup(group_id=painters.id, name="Draughtsmen")).group
    assert (renamed.id, renamed.name) == (painters.id, "Draughtsmen")
    await gateway.admin.DeleteGroup(group_id=painters.id)
    assert list((await gateway.admin.ListGroups()).groups) == [authors]
    assert (await gateway.admin.GetUser(user_id=user.id)).user.group_id == ""


async def test_a_groups_name_is_taken_once(gateway: Gateway) -> None:
    await gateway.admin.CreateGroup(name="Painters")
    other = (await gateway.admin.CreateGroup(name="Authors")).group
    with pytest.raises(AlreadyExists):
        await gateway.admin.CreateGroup(name="Painters")
    with pytest.raises(AlreadyExists):
        await gateway.admin.UpdateGroup(group_id=other.id, name="Painters")


@pytest.mark.parametrize("name", ["", "   ", "x" * 101, "two\nlines", "nul\x00"])
async def test_a_groups_name_is_one_short_line(gateway: Gateway, name: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await gateway.admin.CreateGroup(name=name)
    assert refused.value.field == "name"


async def test_a_group_that_is_not_there_is_not_found(gateway: Gateway) -> None:
    with pytest.raises(NotFound):
        await gateway.admin.UpdateGroup(group_id=str(new_id()), name="Painters")
    with pytest.raises(NotFound):
        await gateway.admin.DeleteGroup(group_id=str(new_id()))
    with pytest.raises(InvalidArgument) as refused:
        await gateway.person(group_id=str(new_id()))
    assert refused.value.field == "group_id"

"""Credits, people, groups, limits and prices over HTTP (G1, G7, G8, H), with the real services behind them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
import pytest_asyncio

from deploy.local.stack import Stack
from tests.integration.frontend_bff.person import Person

pytestmark = pytest.mark.asyncio(loop_scope="module")

_PARTS = (
    *("postgres", "s3", "studio", "storage", "quota", "gateway", "gateway_worker"),
    "frontend_bff",
)
_WISH = {"model": "sora2-landscape-10s", "prompt": "a lighthouse"}
_PASSWORD = "correct horse"
_numbers = count(1)


Login = Callable[[str, str], Awaitable[Person]]
Newcomer = Callable[..., Awaitable[dict[str, Any]]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    home = Path(tmp_path_factory.mktemp("people"))
    env = {"REELGATE_BFF_PORT": "0", "REELGATE_GATEWAY_PORT": "0"}
    # The worker tells quota who is in which group, and makes works.
    async with Stack(home, only=_PARTS, env=env) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def login(stack: Stack) -> AsyncIterator[Login]:
    """Logs somebody in by HTTP."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:

        async def logged_in(email: str, password: str) -> Person:
            body = {"email": email, "password": password}
            async with http.post(f"{stack.ready.bff_url}/api/v1/auth/login", json=body) as answer:
                assert answer.status == 200, await answer.text()
                return Person(http, stack.ready.bff_url, await answer.json())

        yield logged_in


@pytest_asyncio.fixture(loop_scope="module")
async def admin(stack: Stack, login: Login) -> Person:
    return await login(stack.ready.email, stack.ready.password)


@pytest_asyncio.fixture(loop_scope="module")
async def newcomer(admin: Person) -> Newcomer:
    """Makes a user whom no other test knows."""

    async def made(**fields: Any) -> dict[str, Any]:
        body = {"email": f"user{next(_numbers)}@example.org", "password": _PASSWORD} | fields
        status, user = await admin.call("POST", "/admin/users", json=body)
        assert status == 201, user
        return dict(user)

    return made


async def _until(person: Person, path: str, reached: Callable[[Any], bool]) -> Any:
    async with asyncio.timeout(60):
        while not reached(body := await person.get(path)):
            await asyncio.sleep(0.1)
    return body


async def test_h_a_user_is_made_found_changed_and_logs_in(
    admin: Person, newcomer: Newcomer, login: Login
) -> None:
    user = await newcomer(quota_limit_bytes=5_000)
    assert (user["role"], user["group_id"], user["disabled"]) == ("user", None, False)
    assert user["quota_limit_bytes"] == 5_000
    assert (user["quota"]["quota_bytes"], user["quota"]["source"]) == (5_000, "user")
    path = f"/admin/users/{user['id']}"
    assert await admin.get(path) == user

    page = await admin.get(f"/admin/users?q={user['email']}")
    assert page == {"items": [user], "next_page_token": None}

    status, changed = await admin.call(
        "PATCH", path, json={"password": "another horse", "quota_limit_bytes": -1}
    )
    assert status == 200
    assert (changed["quota_limit_bytes"], changed["quota"]["source"]) == (-1, "unlimited")
    person = await login(user["email"], "another horse")
    assert (await person.get("/sora/quota"))["quota_bytes"] == -1
    status, problem = await person.call("GET", path)
    assert (status, problem["code"]) == (403, "permission_denied")

    status, banned = await admin.call("PATCH", path, json={"disabled": True})
    assert (status, banned["disabled"], banned["quota_limit_bytes"]) == (200, True, -1)
    status, problem = await person.call("GET", "/auth/me")
    assert (status, problem["code"]) == (401, "user_disabled")


async def test_h_users_have_pages(admin: Person, newcomer: Newcomer) -> None:
    mark = uuid4().hex
    made = [(await newcomer(email=f"{mark}-{n}@example.org"))["id"] for n in range(3)]
    found: list[str] = []
    token: str | None = ""
    while token is not None:
        page = await admin.get(f"/admin/users?q={mark}&page_size=2&page_token={token}")
        found += [user["id"] for user in page["items"]]
        token = page["next_page_token"]

    assert found == made


@pytest.mark.parametrize(
    ("change", "status", "code", "field"),
    [
        ({"group_id": str(uuid4())}, 400, "invalid_argument", "group_id"),
        ({"password": "short"}, 400, "invalid_argument", "password"),
    ],
)
async def test_h_a_change_that_is_refused_changes_nothing(
    admin: Person, newcomer: Newcomer, change: dict[str, Any], status: int, code: str, field: str
) -> None:
    user = await newcomer()
    path = f"/admin/users/{user['id']}"
    body = change | {"role": "admin", "quota_limit_bytes": 7}
    refused, problem = await admin.call("PATCH", path, json=body)

    assert (refused, problem["code"]) == (status, code)
    assert [error["field"] for error in problem["errors"]] == [field]
    assert await admin.get(path) == user


async def test_h_nobody_takes_his_own_rights_away(admin: Person) -> None:
    before = await admin.get(f"/admin/users/{admin.id}")
    body = {"disabled": True, "quota_limit_bytes": 7}
    status, problem = await admin.call("PATCH", f"/admin/users/{admin.id}", json=body)

    assert (status, problem["code"]) == (409, "own_account")
    after = await admin.get(f"/admin/users/{admin.id}")
    assert after["quota_limit_bytes"] == before["quota_limit_bytes"]


async def test_h_an_address_that_is_taken_is_409(admin: Person, newcomer: Newcomer) -> None:
    user = await newcomer()
    body = {"email": user["email"].upper(), "password": _PASSWORD}
    status, problem = await admin.call("POST", "/admin/users", json=body)

    assert (status, problem["code"]) == (409, "email_taken")


async def test_nobody_unknown_is_shown_changed_or_paid(admin: Person) -> None:
    path = f"/admin/users/{uuid4()}"
    for method, target, body in (
        ("GET", path, None),
        ("PATCH", path, {"quota_limit_bytes": 5}),
        ("POST", f"{path}/credits", {"amount": 5, "reason": "a present"}),
        ("GET", f"/admin/groups/{uuid4()}", None),
        ("PATCH", f"/admin/groups/{uuid4()}", {"quota_limit_bytes": 5}),
        ("DELETE", f"/admin/groups/{uuid4()}", None),
    ):
        status, problem = await admin.call(method, target, json=body)
        assert (status, problem["code"]) == (404, "not_found"), target


async def test_g1_a_groups_limit_holds_for_its_people_while_they_are_in_it(
    admin: Person, newcomer: Newcomer, login: Login
) -> None:
    name = f"team {uuid4()}"
    body = {"name": name, "quota_limit_bytes": 4_000}
    status, group = await admin.call("POST", "/admin/groups", json=body)
    assert (status, group["quota_limit_bytes"]) == (201, 4_000)
    status, problem = await admin.call("POST", "/admin/groups", json=body)
    assert (status, problem["code"]) == (409, "name_taken")

    user = await newcomer(group_id=group["id"])
    assert user["group_id"] == group["id"]
    person = await login(user["email"], _PASSWORD)
    quota = await _until(person, "/sora/quota", lambda body: body["source"] == "group")
    assert quota["quota_bytes"] == 4_000

    path = f"/admin/groups/{group['id']}"
    changes = {"name": f"{name}!", "quota_limit_bytes": 6_000}
    status, changed = await admin.call("PATCH", path, json=changes)
    assert (status, changed) == (200, group | changes)
    assert await admin.get(path) == changed
    assert changed in await admin.get("/admin/groups")
    assert (await person.get("/sora/quota"))["quota_bytes"] == 6_000

    status, _ = await admin.call("DELETE", path)
    assert status == 204
    assert (await admin.get(f"/admin/users/{user['id']}"))["group_id"] is None
    await _until(person, "/sora/quota", lambda body: body["source"] != "group")


async def test_g1_a_user_leaves_his_group(admin: Person, newcomer: Newcomer) -> None:
    _, group = await admin.call("POST", "/admin/groups", json={"name": f"crew {uuid4()}"})
    user = await newcomer(group_id=group["id"])
    path = f"/admin/users/{user['id']}"

    status, stays = await admin.call("PATCH", path, json={"disabled": False})
    assert (status, stays["group_id"]) == (200, group["id"])
    status, leaves = await admin.call("PATCH", path, json={"group_id": None})
    assert (status, leaves["group_id"]) == (200, None)


async def test_g1_the_default_limit_is_everybody_elses(
    admin: Person, newcomer: Newcomer, login: Login
) -> None:
    before = await admin.get("/admin/quota/default")
    user = await newcomer()
    person = await login(user["email"], _PASSWORD)
    try:
        status, changed = await admin.call(
            "PUT", "/admin/quota/default", json={"quota_limit_bytes": 3_000}
        )
        assert (status, changed) == (200, {"quota_limit_bytes": 3_000})
        quota = await person.get("/sora/quota")
        assert (quota["quota_bytes"], quota["source"]) == (3_000, "default")
    finally:
        status, reset = await admin.call(
            "PUT", "/admin/quota/default", json={"quota_limit_bytes": 0}
        )
    assert (status, reset) == (200, before)


async def test_g7_g8_credits_are_given_and_the_ledger_says_so(
    admin: Person, newcomer: Newcomer, login: Login
) -> None:
    user = await newcomer()
    person = await login(user["email"], _PASSWORD)
    begin = (await person.get("/sora/credits"))["balance"]
    path = f"/admin/users/{user['id']}/credits"
    key = str(uuid4())
    for _ in range(2):
        status, credits_ = await admin.call(
            "POST", path, json={"amount": 50, "reason": "a present"}, key=key
        )
        assert (status, credits_["balance"]) == (200, begin + 50)
    status, problem = await admin.call(
        "POST", path, json={"amount": 51, "reason": "a present", "request_id": key}
    )
    assert (status, problem["code"]) == (422, "request_mismatch")
    status, credits_ = await admin.call("POST", path, json={"amount": -20, "reason": "a mistake"})
    assert (status, credits_["balance"]) == (200, begin + 30)
    assert credits_["total_earned"] == credits_["balance"]
    status, problem = await admin.call(
        "POST", path, json={"amount": -begin - 31, "reason": "too much"}
    )
    assert (status, problem["code"]) == (409, "insufficient_credits")
    assert (problem["balance"], problem["price"]) == (begin + 30, begin + 31)
    status, problem = await admin.call("POST", path, json={"amount": 2**53, "reason": "more"})
    assert (status, problem["code"]) == (409, "too_many_credits")

    assert await person.get("/sora/credits") == credits_
    assert (await admin.get(f"/admin/users/{user['id']}"))["credits"] == credits_
    newest = await person.get("/sora/credits/transactions?page_size=1")
    (correction,) = newest["items"]
    assert (correction["kind"], correction["amount"]) == ("correction", -20)
    token = newest["next_page_token"]
    older = await person.get(f"/sora/credits/transactions?page_size=1&page_token={token}")
    (grant,) = older["items"]
    assert (grant["kind"], grant["amount"], grant["reason"]) == ("grant", 50, "a present")
    assert (grant["request_id"], grant["actor"]) == (key, admin.id)
    assert grant["balance_after"] == correction["balance_before"]


async def test_g8_prices_are_set_all_or_none(
    admin: Person, newcomer: Newcomer, login: Login
) -> None:
    model = f"model-{uuid4()}"
    prices = [
        {"model": model, "duration_seconds": 10, "credits": 12},
        {"model": model, "credits": 7, "effective_at": "2099-01-01T00:00:00Z"},
    ]
    status, problem = await admin.call(
        "POST", "/admin/prices", json={"prices": [*prices, {"model": model, "credits": -1}]}
    )
    assert status == 400, problem
    assert model not in {price["model"] for price in await admin.get("/admin/prices")}

    status, answered = await admin.call("POST", "/admin/prices", json={"prices": prices})
    assert status == 200
    assert answered == await admin.get("/admin/prices")
    later, now = [price for price in answered if price["model"] == model]
    assert (later["duration_seconds"], later["credits"]) == (0, 7)
    assert later["effective_at"] == "2099-01-01T00:00:00Z"
    assert (now["duration_seconds"], now["credits"]) == (10, 12)

    person = await login((await newcomer())["email"], _PASSWORD)
    for method in ("GET", "POST"):
        status, problem = await person.call(method, "/admin/prices", json={"prices": prices})
        assert (status, problem["code"]) == (403, "permission_denied")


async def test_g7_days_without_works_are_an_empty_list(
    admin: Person, newcomer: Newcomer, login: Login
) -> None:
    user = await newcomer()
    person = await login(user["email"], _PASSWORD)
    days = "first_date=2026-01-01&last_date=2026-12-31"
    empty: dict[str, Any] = {
        "first_date": "2026-01-01",
        "last_date": "2026-12-31",
        "items": [],
        "next_page_token": None,
    }
    assert await person.get(f"/sora/usage?{days}") == empty
    assert await admin.get(f"/admin/usage?{days}&user_id={user['id']}") == empty
    assert (await admin.get("/admin/usage"))["next_page_token"] is None

    status, problem = await person.call("GET", f"/admin/usage?{days}&user_id={user['id']}")
    assert (status, problem["code"]) == (403, "permission_denied")
    status, problem = await admin.call("GET", "/admin/usage?first_date=2020-01-01")
    assert (status, [one["field"] for one in problem["errors"]]) == (400, ["last_date"])


async def test_g2_g7_a_refused_work_says_what_is_missing(
    admin: Person, newcomer: Newcomer, login: Login
) -> None:
    user = await newcomer(quota_limit_bytes=1)
    person = await login(user["email"], _PASSWORD)
    status, problem = await person.call("POST", "/sora/generate", json=_WISH)
    assert (status, problem["code"]) == (429, "quota_exceeded"), problem
    assert (problem["used"], problem["reserved"], problem["quota"]) == (0, 0, 1)
    assert problem["requested"] > 1

    left = (await person.get("/sora/credits"))["balance"]
    taken = {"amount": -left, "reason": "all of it"}
    await admin.call("POST", f"/admin/users/{user['id']}/credits", json=taken)
    status, problem = await person.call("POST", "/sora/generate", json=_WISH)
    assert (status, problem["code"]) == (402, "insufficient_credits"), problem
    assert problem["balance"] == 0
    assert problem["price"] > 0


async def test_g7_a_kept_work_is_in_the_days_and_the_ledger(
    admin: Person, newcomer: Newcomer, login: Login
) -> None:
    user = await newcomer()
    person = await login(user["email"], _PASSWORD)
    status, made = await person.call("POST", "/sora/generate", json=_WISH)
    assert status == 202, made
    path = f"/sora/generations/{made['generation_id']}"
    work = await _until(person, path, lambda body: body["status"] == "completed")

    (day,) = (await person.get("/sora/usage"))["items"]
    assert (day["user_id"], day["run_count"], day["kept_count"]) == (user["id"], 1, 1)
    assert (day["kept_bytes"], day["spent_credits"]) == (work["file_size_bytes"], work["credits"])
    seen = await admin.get(f"/admin/usage?user_id={user['id']}")
    assert seen["items"] == [day]
    capture, hold, _ = (await person.get("/sora/credits/transactions"))["items"]
    assert (hold["kind"], hold["amount"], hold["held_amount"]) == (
        "hold",
        -work["credits"],
        work["credits"],
    )
    assert (capture["kind"], capture["amount"]) == ("capture", 0)
    assert capture["generation_id"] == hold["generation_id"] == work["id"]

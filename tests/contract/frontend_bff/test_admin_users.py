"""People, as administrators look after them (G1, G7, H): the gateway's accounts with quota's figures."""

from typing import Any

import pytest

from reelgate.gateway.v1 import identity_pb2
from reelgate.quota.v1 import quota_pb2
from services.kernel.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ReelgateError,
    Unavailable,
)
from tests.contract.frontend_bff import messages
from tests.contract.frontend_bff.conftest import Bff
from tests.contract.frontend_bff.fakes import Backend
from tests.contract.frontend_bff.messages import GROUP, USER

_USERS = "/api/v1/admin/users"
_ONE = f"{_USERS}/{USER}"
_OTHER = "01930000-0000-7000-8000-000000000002"
_FORM = {"email": "ada@example.org", "password": "correct horse"}
_SHOWN = {
    "id": USER,
    "email": "ada@example.org",
    "role": "user",
    "group_id": None,
    "disabled": False,
    "created_at": "2025-10-09T08:53:20Z",
    "quota_limit_bytes": 0,
    "quota": {
        "quota_bytes": 1000,
        "used_bytes": 300,
        "reserved_bytes": 100,
        "available_bytes": 600,
        "source": "group",
    },
    "credits": {"balance": 70, "held": 10, "total_earned": 100, "total_spent": 20},
}


@pytest.fixture(autouse=True)
def known(backend: Backend) -> None:
    one = messages.user()
    backend.answers |= {
        "ListUsers": identity_pb2.ListUsersResponse(users=[one], next_page_token="more"),
        "GetUser": identity_pb2.GetUserResponse(user=one),
        "CreateUser": identity_pb2.CreateUserResponse(user=one),
        "UpdateUser": identity_pb2.UpdateUserResponse(user=one),
        "BatchGetUsage": messages.usages,
        "SetLimits": quota_pb2.SetLimitsResponse(),
    }


def _called(backend: Backend) -> list[str]:
    return [call.method for call in backend.caused()]


async def test_h_users_are_listed_with_what_they_have(bff: Bff, backend: Backend) -> None:
    other = messages.user(
        id=_OTHER, role=identity_pb2.ROLE_ADMIN, group_id=GROUP, disabled=True, email="b@b.org"
    )
    backend.answers["ListUsers"] = identity_pb2.ListUsersResponse(users=[messages.user(), other])
    unlimited = messages.usage(_OTHER, limit_bytes=-1)
    unlimited.quota.quota_bytes = -1
    unlimited.quota.source = quota_pb2.QUOTA_SOURCE_UNLIMITED
    backend.answers["BatchGetUsage"] = quota_pb2.BatchGetUsageResponse(
        usages=[messages.usage(), unlimited]
    )
    answer = await bff.call("GET", f"{_USERS}?q=%40&page_size=2&page_token={USER}")

    assert answer.status == 200
    page = await answer.json()
    first, second = page["items"]
    assert first == _SHOWN
    assert (second["role"], second["group_id"], second["disabled"]) == ("admin", GROUP, True)
    assert second["quota_limit_bytes"] == -1
    assert (second["quota"]["quota_bytes"], second["quota"]["source"]) == (-1, "unlimited")
    assert page["next_page_token"] is None
    assert backend.asked("ListUsers") == [
        identity_pb2.ListUsersRequest(query="@", page_size=2, page_token=USER)
    ]
    (asked,) = backend.asked("BatchGetUsage")
    assert list(asked.user_ids) == [USER, _OTHER]


async def test_h_a_page_of_nobody_asks_for_nobodys_figures(bff: Bff, backend: Backend) -> None:
    backend.answers["ListUsers"] = identity_pb2.ListUsersResponse()
    answer = await bff.call("GET", _USERS)

    assert await answer.json() == {"items": [], "next_page_token": None}
    assert _called(backend) == ["ListUsers"]


async def test_h_one_user_is_shown(bff: Bff) -> None:
    answer = await bff.call("GET", _ONE)

    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert await answer.json() == _SHOWN


async def test_h_a_user_is_made(bff: Bff, backend: Backend) -> None:
    body = _FORM | {"role": "admin", "group_id": GROUP, "quota_limit_bytes": 5, "unknown": 1}
    answer = await bff.call("POST", _USERS, json=body)

    assert answer.status == 201
    assert answer.headers["Location"] == _ONE
    assert await answer.json() == _SHOWN
    assert backend.asked("CreateUser") == [
        identity_pb2.CreateUserRequest(
            email="ada@example.org",
            password="correct horse",
            role=identity_pb2.ROLE_ADMIN,
            group_id=GROUP,
        )
    ]
    assert backend.asked("SetLimits") == [quota_pb2.SetLimitsRequest(user_id=USER, quota_bytes=5)]


async def test_h_a_new_user_is_a_user_without_group_and_limit(bff: Bff, backend: Backend) -> None:
    await bff.call("POST", _USERS, json=_FORM)

    (asked,) = backend.asked("CreateUser")
    assert (asked.role, asked.group_id) == (identity_pb2.ROLE_USER, "")
    assert _called(backend) == ["CreateUser", "BatchGetUsage"]


_CHANGES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"role": "admin"}, {"role": identity_pb2.ROLE_ADMIN}),
    ({"role": "user"}, {"role": identity_pb2.ROLE_USER}),
    ({"group_id": GROUP}, {"group_id": GROUP}),
    ({"group_id": None}, {"group_id": ""}),
    ({"disabled": True}, {"disabled": True}),
    ({"disabled": False}, {"disabled": False}),
    ({"password": "another horse"}, {"password": "another horse"}),
]


@pytest.mark.parametrize(("body", "fields"), _CHANGES)
async def test_h_a_change_carries_what_is_given_and_nothing_else(
    bff: Bff, backend: Backend, body: dict[str, Any], fields: dict[str, Any]
) -> None:
    answer = await bff.call("PATCH", _ONE, json=body)

    assert answer.status == 200
    assert await answer.json() == _SHOWN
    (asked,) = backend.asked("UpdateUser")
    assert asked == identity_pb2.UpdateUserRequest(user_id=USER, **fields)
    given = {field.name for field, _ in asked.ListFields()} | {
        name for name in ("role", "group_id", "disabled", "password") if asked.HasField(name)
    }
    assert given == {"user_id", *fields}
    assert backend.asked("SetLimits") == []


@pytest.mark.parametrize("limit", [0, -1, 5, 2**53])
async def test_g1_a_limit_alone_changes_no_account(bff: Bff, backend: Backend, limit: int) -> None:
    answer = await bff.call("PATCH", _ONE, json={"quota_limit_bytes": limit})

    assert answer.status == 200
    assert backend.asked("SetLimits") == [
        quota_pb2.SetLimitsRequest(user_id=USER, quota_bytes=limit)
    ]
    assert _called(backend) == ["GetUser", "SetLimits", "BatchGetUsage"]


async def test_h_an_empty_change_changes_nothing(bff: Bff, backend: Backend) -> None:
    answer = await bff.call("PATCH", _ONE, json={"email": "new@example.org"})

    assert answer.status == 200
    assert await answer.json() == _SHOWN
    assert _called(backend) == ["GetUser", "BatchGetUsage"]


@pytest.mark.parametrize(
    "body", [{"quota_limit_bytes": 5}, {"role": "user", "quota_limit_bytes": 5}]
)
async def test_h_nobody_unknown_gets_a_limit(
    bff: Bff, backend: Backend, body: dict[str, Any]
) -> None:
    backend.answers |= dict.fromkeys(("GetUser", "UpdateUser"), NotFound("No such user."))
    answer = await bff.call("PATCH", _ONE, json=body)

    assert answer.status == 404
    assert backend.asked("SetLimits") == []


@pytest.mark.parametrize(
    ("error", "status", "code", "field"),
    [
        (FailedPrecondition("Ask another.", reason="OWN_ACCOUNT"), 409, "own_account", None),
        (InvalidArgument("None such.", field="group_id"), 400, "invalid_argument", "group_id"),
        (InvalidArgument("Too short.", field="password"), 400, "invalid_argument", "password"),
        (AlreadyExists("Taken.", reason="EMAIL_TAKEN", field="email"), 409, "email_taken", "email"),
    ],
)
async def test_h_what_the_gateway_refuses_leaves_the_limit_alone(
    bff: Bff, backend: Backend, error: ReelgateError, status: int, code: str, field: str | None
) -> None:
    backend.answers |= dict.fromkeys(("CreateUser", "UpdateUser"), error)
    body = _FORM | {"group_id": GROUP, "quota_limit_bytes": 5}
    for method, path in (("POST", _USERS), ("PATCH", _ONE)):
        answer = await bff.call(method, path, json=body)

        problem = await answer.json()
        assert (answer.status, problem["code"]) == (status, code)
        assert problem["detail"] == str(error)
        assert [one["field"] for one in problem.get("errors", [])] == ([field] if field else [])
    assert backend.asked("SetLimits") == []


@pytest.mark.parametrize(
    ("method", "path", "done"),
    [
        ("POST", _USERS, "The user is made; his limit may not be set."),
        ("PATCH", _ONE, "The limit may not be changed; everything else is."),
    ],
)
async def test_h_a_limit_that_quota_could_not_set_is_told_with_what_holds(
    bff: Bff, backend: Backend, method: str, path: str, done: str
) -> None:
    backend.answers["SetLimits"] = Unavailable("Not now.")
    body = _FORM | {"disabled": True, "quota_limit_bytes": 5}
    answer = await bff.call(method, path, json=body)

    assert answer.status == 503
    assert answer.headers["Retry-After"]
    assert (await answer.json())["detail"] == f"{done} Not now."


_BAD: list[tuple[dict[str, Any], str]] = [
    ({"role": "root"}, "role"),
    ({"role": None}, "role"),
    ({"role": 1}, "role"),
    ({"group_id": "team"}, "group_id"),
    ({"group_id": ""}, "group_id"),
    ({"password": None}, "password"),
    ({"password": 5}, "password"),
    ({"password": "nul \0"}, "password"),
    ({"quota_limit_bytes": None}, "quota_limit_bytes"),
    ({"quota_limit_bytes": -2}, "quota_limit_bytes"),
    ({"quota_limit_bytes": 2**53 + 1}, "quota_limit_bytes"),
    ({"quota_limit_bytes": 1.5}, "quota_limit_bytes"),
    ({"quota_limit_bytes": "5"}, "quota_limit_bytes"),
    ({"quota_limit_bytes": True}, "quota_limit_bytes"),
]
_BAD_CHANGES = [({"disabled": None}, "disabled"), ({"disabled": "yes"}, "disabled")]
_BAD_FORMS = [({"email": None}, "email"), ({"email": 5}, "email"), ({"email": "\0"}, "email")]


@pytest.mark.parametrize(
    ("method", "path", "cases"),
    [("POST", _USERS, _BAD + _BAD_FORMS), ("PATCH", _ONE, _BAD + _BAD_CHANGES)],
)
async def test_a_bad_body_is_400_names_the_field_and_changes_nothing(
    bff: Bff, backend: Backend, method: str, path: str, cases: list[tuple[dict[str, Any], str]]
) -> None:
    for change, field in cases:
        answer = await bff.call(method, path, json=_FORM | change)

        assert answer.status == 400, change
        assert [error["field"] for error in (await answer.json())["errors"]] == [field]
        # What was sent may be a password.
        assert "nul " not in await answer.text()
    assert backend.caused() == []


async def test_what_the_gateway_does_not_search_for_is_named_as_the_query_names_it(
    bff: Bff, backend: Backend
) -> None:
    backend.answers["ListUsers"] = InvalidArgument("Printable, please.", field="query")
    answer = await bff.call("GET", f"{_USERS}?q=%07")

    assert answer.status == 400
    assert (await answer.json())["errors"] == [{"field": "q", "message": "Printable, please."}]


@pytest.mark.parametrize(
    ("query", "field"),
    [("q=%00", "q"), ("q=" + "x" * 255, "q"), ("page_size=101", "page_size")],
)
async def test_a_bad_query_is_400_and_names_the_parameter(
    bff: Bff, backend: Backend, query: str, field: str
) -> None:
    answer = await bff.call("GET", f"{_USERS}?{query}")

    assert answer.status == 400
    assert [error["field"] for error in (await answer.json())["errors"]] == [field]
    assert backend.caused() == []

"""Groups and their limits, and the limit of everybody else (G1, H)."""

from typing import Any

import pytest

from reelgate.gateway.v1 import identity_pb2
from reelgate.quota.v1 import quota_pb2
from services.kernel.errors import AlreadyExists, NotFound, Unavailable
from tests.contract.frontend_bff import messages
from tests.contract.frontend_bff.conftest import Bff
from tests.contract.frontend_bff.fakes import Backend
from tests.contract.frontend_bff.messages import GROUP, USER

_GROUPS = "/api/v1/admin/groups"
_ONE = f"{_GROUPS}/{GROUP}"
_DEFAULT = "/api/v1/admin/quota/default"
_SHOWN = {"id": GROUP, "name": "team", "created_at": "2025-10-09T08:53:20Z"}


@pytest.fixture(autouse=True)
def known(backend: Backend) -> None:
    one = messages.group()
    limit = quota_pb2.GroupLimit(group_id=GROUP, quota_bytes=7)
    gone = quota_pb2.GroupLimit(group_id=USER, quota_bytes=9)
    backend.answers |= {
        "ListGroups": identity_pb2.ListGroupsResponse(
            groups=[messages.group(id=USER[:-1] + "9"), one]
        ),
        "GetGroup": identity_pb2.GetGroupResponse(group=one),
        "CreateGroup": identity_pb2.CreateGroupResponse(group=one),
        "UpdateGroup": identity_pb2.UpdateGroupResponse(group=one),
        "DeleteGroup": identity_pb2.DeleteGroupResponse(),
        "ListLimits": quota_pb2.ListLimitsResponse(default_bytes=11, groups=[gone, limit]),
        "SetLimits": quota_pb2.SetLimitsResponse(),
    }


def _called(backend: Backend) -> list[str]:
    return [call.method for call in backend.caused()]


def _limit(limit: int) -> list[quota_pb2.SetLimitsRequest]:
    return [quota_pb2.SetLimitsRequest(group_id=GROUP, quota_bytes=limit)]


async def test_g1_groups_are_listed_with_their_limits(bff: Bff) -> None:
    """One that never had a limit has none, and a limit of a group that is gone is nobody's."""
    answer = await bff.call("GET", _GROUPS)

    assert answer.status == 200
    other, one = await answer.json()
    assert other["quota_limit_bytes"] == 0
    assert one == _SHOWN | {"quota_limit_bytes": 7}


async def test_g1_one_group_is_shown(bff: Bff, backend: Backend) -> None:
    answer = await bff.call("GET", _ONE)

    assert answer.status == 200
    assert await answer.json() == _SHOWN | {"quota_limit_bytes": 7}
    assert backend.asked("GetGroup")[0].group_id == GROUP


@pytest.mark.parametrize(("body", "limit"), [({}, 0), ({"quota_limit_bytes": -1}, -1)])
async def test_g1_a_group_is_made(
    bff: Bff, backend: Backend, body: dict[str, Any], limit: int
) -> None:
    answer = await bff.call("POST", _GROUPS, json={"name": "team"} | body)

    assert answer.status == 201
    assert answer.headers["Location"] == _ONE
    assert await answer.json() == _SHOWN | {"quota_limit_bytes": limit}
    assert backend.asked("CreateGroup")[0].name == "team"
    assert backend.asked("SetLimits") == (_limit(limit) if limit else [])


@pytest.mark.parametrize(
    ("body", "limit", "called"),
    [
        ({"name": "crew"}, 7, ["UpdateGroup", "ListLimits"]),
        ({"quota_limit_bytes": 0}, 0, ["GetGroup", "SetLimits"]),
        ({"name": "crew", "quota_limit_bytes": 5}, 5, ["UpdateGroup", "SetLimits"]),
        ({}, 7, ["GetGroup", "ListLimits"]),
    ],
)
async def test_g1_a_group_is_changed(
    bff: Bff, backend: Backend, body: dict[str, Any], limit: int, called: list[str]
) -> None:
    answer = await bff.call("PATCH", _ONE, json=body)

    assert answer.status == 200
    assert await answer.json() == _SHOWN | {"quota_limit_bytes": limit}
    assert _called(backend) == called
    assert [asked.name for asked in backend.asked("UpdateGroup")] == ["crew"] * ("name" in body)
    assert backend.asked("SetLimits") == (_limit(limit) if "SetLimits" in called else [])


async def test_h_a_group_is_removed(bff: Bff, backend: Backend) -> None:
    answer = await bff.call("DELETE", _ONE)

    assert (answer.status, await answer.read()) == (204, b"")
    assert backend.asked("DeleteGroup") == [identity_pb2.DeleteGroupRequest(group_id=GROUP)]


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_h_an_unknown_group_is_404_and_gets_no_limit(
    bff: Bff, backend: Backend, method: str
) -> None:
    unknown = NotFound("There is no such group.")
    backend.answers |= dict.fromkeys(("GetGroup", "UpdateGroup", "DeleteGroup"), unknown)
    answer = await bff.call(method, _ONE, json={"quota_limit_bytes": 5})

    assert answer.status == 404
    assert backend.asked("SetLimits") == []


async def test_h_a_name_that_is_taken_is_409_and_leaves_the_limit_alone(
    bff: Bff, backend: Backend
) -> None:
    taken = AlreadyExists("Taken.", reason="NAME_TAKEN", field="name")
    backend.answers |= dict.fromkeys(("CreateGroup", "UpdateGroup"), taken)
    for method, path in (("POST", _GROUPS), ("PATCH", _ONE)):
        answer = await bff.call(method, path, json={"name": "crew", "quota_limit_bytes": 5})

        problem = await answer.json()
        assert (answer.status, problem["code"]) == (409, "name_taken")
        assert problem["errors"] == [{"field": "name", "message": "Taken."}]
    assert backend.asked("SetLimits") == []


@pytest.mark.parametrize(
    ("method", "path", "done"),
    [
        ("POST", _GROUPS, "The group is made; its limit may not be set."),
        ("PATCH", _ONE, "The limit may not be changed; everything else is."),
    ],
)
async def test_g1_a_limit_that_quota_could_not_set_is_told_with_what_holds(
    bff: Bff, backend: Backend, method: str, path: str, done: str
) -> None:
    backend.answers["SetLimits"] = Unavailable("Not now.")
    answer = await bff.call(method, path, json={"name": "crew", "quota_limit_bytes": 5})

    assert answer.status == 503
    assert (await answer.json())["detail"] == f"{done} Not now."


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("POST", _GROUPS, {}, "name"),
        ("POST", _GROUPS, {"name": None}, "name"),
        ("POST", _GROUPS, {"name": "a\0"}, "name"),
        ("PATCH", _ONE, {"name": None}, "name"),
        ("PATCH", _ONE, {"name": 5}, "name"),
        ("PATCH", _ONE, {"quota_limit_bytes": None}, "quota_limit_bytes"),
        ("PATCH", _ONE, {"quota_limit_bytes": -2}, "quota_limit_bytes"),
        ("PUT", _DEFAULT, {}, "quota_limit_bytes"),
        ("PUT", _DEFAULT, {"quota_limit_bytes": None}, "quota_limit_bytes"),
        ("PUT", _DEFAULT, {"quota_limit_bytes": 2**53 + 1}, "quota_limit_bytes"),
    ],
)
async def test_a_bad_body_is_400_and_names_the_field(
    bff: Bff, backend: Backend, method: str, path: str, body: dict[str, Any], field: str
) -> None:
    answer = await bff.call(method, path, json=body)

    assert answer.status == 400
    assert [error["field"] for error in (await answer.json())["errors"]] == [field]
    assert backend.caused() == []


async def test_g1_the_default_limit_is_read_and_set(bff: Bff, backend: Backend) -> None:
    """The answer is what is in force: a 0 brings back what the installation was started with."""
    read = await bff.call("GET", _DEFAULT)
    written = await bff.call("PUT", _DEFAULT, json={"quota_limit_bytes": 0})

    for answer in (read, written):
        assert answer.status == 200
        assert await answer.json() == {"quota_limit_bytes": 11}
    assert backend.asked("SetLimits") == [quota_pb2.SetLimitsRequest(default=True)]

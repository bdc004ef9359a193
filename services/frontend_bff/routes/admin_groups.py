"""Groups: people for each of whom one limit holds (G1, H). Their order of calls is that of `admin_users`."""

from services.frontend_bff.problems import after
from services.frontend_bff.routing import Call, Routes
from services.frontend_bff.schemas.people_answers import Group, NamedGroup
from services.frontend_bff.schemas.people_requests import GroupChange, GroupForm, GroupPath

routes = Routes("people")
_GROUPS = "/api/v1/admin/groups"
_ONE = _GROUPS + "/{id}"


@routes.get(_GROUPS, also=(403, 503))
async def list_groups(call: Call) -> list[Group]:
    """List all groups, by name."""
    groups = await call.clients.people.groups()
    limits = await call.clients.quota.group_limits()
    return [{**group, "quota_limit_bytes": limits.get(group["id"], 0)} for group in groups]


@routes.post(_GROUPS, status=201, also=(400, 403, 409, 413, 503))
async def create_group(call: Call, body: GroupForm) -> Group:
    """Make a group.

    `409 name_taken`. If it is made and its limit can not be set, the refusal says so.
    """
    group = await call.clients.people.create_group(body.name)
    call.answer_headers["Location"] = f"{_GROUPS}/{group['id']}"
    if body.quota_limit_bytes:
        with after("The group is made; its limit may not be set."):
            await call.clients.quota.set_group_limit(group["id"], body.quota_limit_bytes)
    return {**group, "quota_limit_bytes": body.quota_limit_bytes}


@routes.get(_ONE, also=(400, 403, 404, 503))
async def get_group(call: Call, path: GroupPath) -> Group:
    """Get one group."""
    return await _with_limit(call, await call.clients.people.group(path.id))


@routes.patch(_ONE, also=(400, 403, 404, 409, 413, 503))
async def update_group(call: Call, path: GroupPath, body: GroupChange) -> Group:
    """Change a group; what is absent stays.

    The name is changed first, and then the limit. If that fails, the refusal says so, and the same request may be sent
    again. `409 name_taken`.
    """
    if body.name is not None:
        group = await call.clients.people.rename_group(path.id, body.name)
    else:
        group = await call.clients.people.group(path.id)
    if body.quota_limit_bytes is None:
        return await _with_limit(call, group)
    with after("The limit may not be changed; everything else is."):
        await call.clients.quota.set_group_limit(path.id, body.quota_limit_bytes)
    return {**group, "quota_limit_bytes": body.quota_limit_bytes}


@routes.delete(_ONE, status=204, also=(400, 403, 404, 503))
async def delete_group(call: Call, path: GroupPath) -> None:
    """Remove a group; its people then have none, and within moments no limit of it."""
    await call.clients.people.delete_group(path.id)


async def _with_limit(call: Call, group: NamedGroup) -> Group:
    limits = await call.clients.quota.group_limits()
    return {**group, "quota_limit_bytes": limits.get(group["id"], 0)}

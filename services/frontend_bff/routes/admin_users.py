"""People, as administrators look after them (G7, G8, H).

Accounts are the gateway's, limits and credits quota's. The gateway is asked first: it knows who there is, and it may
refuse for what it knows. Quota takes any limit that the schema lets through, so that a second call fails only when
quota is away; the refusal then says what holds. Both refuse everybody but administrators.
"""

from collections.abc import Sequence

from services.frontend_bff.problems import BadInput, after
from services.frontend_bff.routing import Call, Routes
from services.frontend_bff.schemas.people_answers import Account, AdminUser, AdminUserPage
from services.frontend_bff.schemas.people_requests import (
    UserChange,
    UserForm,
    UserPath,
    UsersQuery,
)
from services.frontend_bff.schemas.quota_answers import Credits
from services.frontend_bff.schemas.quota_requests import Grant, GrantHeaders
from services.kernel.ids import new_id

routes = Routes("people")
_USERS = "/api/v1/admin/users"
_ONE = _USERS + "/{id}"


@routes.get(_USERS, also=(400, 403, 503))
async def list_users(call: Call, query: UsersQuery) -> AdminUserPage:
    """List people, by id, with what they have and may have."""
    accounts, next_page_token = await call.clients.people.users(query)
    return {"items": await _complete(call, accounts), "next_page_token": next_page_token}


@routes.post(_USERS, status=201, also=(400, 403, 409, 413, 503))
async def create_user(call: Call, body: UserForm) -> AdminUser:
    """Make a user.

    His group counts for his quota within moments. If he is made and his limit can not be set, the refusal says so.
    """
    account = await call.clients.people.create_user(body)
    call.answer_headers["Location"] = f"{_USERS}/{account['id']}"
    with after("The user is made; his limit may not be set."):
        if body.quota_limit_bytes:
            await call.clients.quota.set_user_limit(account["id"], body.quota_limit_bytes)
        return await _one(call, account)


@routes.get(_ONE, also=(400, 403, 404, 503))
async def get_user(call: Call, path: UserPath) -> AdminUser:
    """Get one user, with what he has and may have."""
    return await _one(call, await call.clients.people.user(path.id))


@routes.patch(_ONE, also=(400, 403, 404, 409, 413, 503))
async def update_user(call: Call, path: UserPath, body: UserChange) -> AdminUser:
    """Change a user; what is absent stays.

    Role, group, ban and password are changed together or not at all, and then the limit. If that fails, the refusal
    says so, and the same request may be sent again. A new group counts for his quota within moments: the answer may
    still show that of the old one. `409 own_account`: nobody takes his own rights away.
    """
    if body.changes_account:
        account = await call.clients.people.update_user(path.id, body)
    else:
        account = await call.clients.people.user(path.id)
    if body.quota_limit_bytes is not None:
        with after("The limit may not be changed; everything else is."):
            await call.clients.quota.set_user_limit(path.id, body.quota_limit_bytes)
    return await _one(call, account)


@routes.post(_ONE + "/credits", also=(400, 403, 404, 409, 413, 422, 503))
async def grant_credits(call: Call, path: UserPath, headers: GrantHeaders, body: Grant) -> Credits:
    """Give credits to a user, or take them back.

    With an `Idempotency-Key`, or the same UUID as `request_id`, a repeat moves nothing; without, each request counts.
    `409 insufficient_credits`: less is left than shall be taken back. `409 too_many_credits`: he would have been given
    more than 2^53. `422 request_mismatch`: the key was used for something else.
    """
    if body.request_id and headers.key and body.request_id != headers.key:
        message = "Input should be the Idempotency-Key, when both are given"
        raise BadInput([{"field": "request_id", "message": message}])
    # Quota would take anybody's name for that of a user it has not met yet.
    await call.clients.people.user(path.id)
    request_id = body.request_id or headers.key or str(new_id())
    return await call.clients.credits.grant(path.id, body.amount, body.reason, request_id)


async def _one(call: Call, account: Account) -> AdminUser:
    (user,) = await _complete(call, [account])
    return user


async def _complete(call: Call, accounts: Sequence[Account]) -> list[AdminUser]:
    holdings = await call.clients.quota.holdings([account["id"] for account in accounts])
    return [{**account, **holding} for account, holding in zip(accounts, holdings, strict=True)]

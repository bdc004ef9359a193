"""Access tokens: only what the gateway signed for the gateway opens it."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest

from services.kernel.errors import PermissionDenied, Unauthenticated
from services.kernel.ids import new_id
from services.kernel.tokens import ISSUER, Signer, generate_signing_key
from tests.contract.gateway.identity.running import Gateway, Keys

pytestmark = pytest.mark.usefixtures("quick_hashes")


def foreign_key(keys: Keys) -> str:
    return Signer(generate_signing_key()).sign(
        str(new_id()), audience=["gateway"], lifetime_seconds=300, role="admin"
    )


def other_audience(keys: Keys) -> str:
    return keys.signer.sign(str(new_id()), audience=["quota"], lifetime_seconds=300, role="admin")


def expired(keys: Keys) -> str:
    return keys.signer.sign(str(new_id()), audience=["gateway"], lifetime_seconds=-60, role="admin")


def not_signed(keys: Keys) -> str:
    return jwt.encode(_claims(), "", "none", headers={"kid": _kid(keys)})


def signed_with_the_public_key(keys: Keys) -> str:
    public = json.loads(keys.jwks_file.read_text())["keys"][0]["x"]
    return jwt.encode(_claims(), public * 2, "HS256", headers={"kid": _kid(keys)})


def made_an_admin(keys: Keys) -> str:
    token = keys.signer.sign(str(new_id()), audience=["gateway"], lifetime_seconds=300)
    head, body, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    claims["role"] = "admin"
    forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"{head}.{forged}.{signature}"


def garbage(keys: Keys) -> str:
    return "not.a.token"


def _claims() -> dict[str, Any]:
    now = int(time.time())
    return {
        "iss": ISSUER,
        "sub": str(new_id()),
        "aud": ["gateway"],
        "iat": now,
        "exp": now + 300,
        "role": "admin",
    }


def _kid(keys: Keys) -> str:
    return str(json.loads(keys.jwks_file.read_text())["keys"][0]["kid"])


@pytest.mark.parametrize(
    "forge",
    [
        foreign_key,
        other_audience,
        expired,
        not_signed,
        signed_with_the_public_key,
        made_an_admin,
        garbage,
    ],
)
async def test_a_forged_token_opens_nothing(gateway: Gateway, forge: Callable[[Keys], str]) -> None:
    forger = gateway.bearer(forge(gateway.keys))
    for call in (forger.GetMe, forger.ListUsers, forger.ListApiKeys, forger.ListModels):
        with pytest.raises(Unauthenticated):
            await call()


@pytest.mark.parametrize(
    "method",
    [
        "GetMe",
        "CreateUser",
        "GetUser",
        "ListUsers",
        "UpdateUser",
        "DeleteUser",
        "CreateGroup",
        "ListGroups",
        "UpdateGroup",
        "DeleteGroup",
        "CreateApiKey",
        "ListApiKeys",
        "RevokeApiKey",
        "ListModels",
    ],
)
async def test_nothing_but_the_public_methods_works_without_a_token(
    gateway: Gateway, method: str
) -> None:
    with pytest.raises(Unauthenticated):
        await getattr(gateway.stranger, method)()


@pytest.mark.parametrize(
    "method",
    [
        "CreateUser",
        "GetUser",
        "ListUsers",
        "UpdateUser",
        "DeleteUser",
        "CreateGroup",
        "ListGroups",
        "UpdateGroup",
        "DeleteGroup",
    ],
)
async def test_administration_is_for_administrators(gateway: Gateway, method: str) -> None:
    user = gateway.bearer(gateway.token())
    service = gateway.bearer(gateway.token(actor="gateway"))
    for somebody in (user, service):
        with pytest.raises(PermissionDenied):
            await getattr(somebody, method)()


async def test_a_token_of_somebody_who_is_gone_or_banned_is_nobodys(gateway: Gateway) -> None:
    user = await gateway.person()
    access = (await gateway.login()).access_token
    await gateway.admin.UpdateUser(user_id=user.id, disabled=True)
    for token in (access, gateway.token()):
        with pytest.raises(Unauthenticated) as refused:
            await gateway.bearer(token).GetMe()
        assert refused.value.reason == "USER_DISABLED"

"""What `make run` begins with: a person, a key and an upstream. Repeating it changes nothing that is there."""

import asyncio
import contextlib
from typing import Final
from uuid import uuid5

import structlog

from services.gateway.api_keys import digest, hint, is_key
from services.gateway.clients import QuotaClient
from services.gateway.passwords import Passwords
from services.gateway.people import email_of
from services.gateway.settings import ApiSettings
from services.gateway.store.accounts import AccountStore
from services.gateway.store.api_keys import ApiKeyStore
from services.gateway.store.people import PeopleStore
from services.kernel.errors import AlreadyExists, InvalidArgument, ReelgateError
from services.kernel.ids import new_id

log = structlog.get_logger()

DEMO_CREDITS: Final = 1_000_000
_RETRY_SECONDS: Final = 2.0


async def seed(settings: ApiSettings, people: PeopleStore, accounts: AccountStore) -> None:
    """Makes what the settings name and is missing; several processes may do so at once. Raises InvalidArgument."""
    if settings.seed_email:
        email = email_of(settings.seed_email)
        await _administrator(people, email, settings.seed_password.get_secret_value())
        if secret := settings.seed_api_key.get_secret_value():
            await _api_key(people.api_keys, email, secret)
    if settings.seed_studio_url:
        await accounts.seed(
            name="Studio",
            dialect="openai_videos",
            base_url=settings.seed_studio_url,
            credential=settings.seed_studio_key.get_secret_value(),
            models=(),
            options={"can_find": True, "idempotent_submit": True},
        )


async def seed_credits(
    settings: ApiSettings,
    people: PeopleStore,
    quota: QuotaClient,
    *,
    retry_seconds: float = _RETRY_SECONDS,
) -> None:
    """Gives the seeded person credits, once for ever. Waits for quota, which may start later than we do."""
    if not settings.seed_email:
        return
    found = await people.credentials(email_of(settings.seed_email))
    while found is not None:
        user_id = found.user.id
        try:
            await quota.grant(user_id, DEMO_CREDITS, "demo", uuid5(user_id, "demo credits"))
        except ReelgateError as error:
            log.warning("demo_credits_not_given", reason=error.reason)
            await asyncio.sleep(retry_seconds)
        else:
            return


async def _administrator(people: PeopleStore, email: str, password: str) -> None:
    if await people.credentials(email) is not None:
        return
    async with Passwords().turn() as hasher:
        password_hash = await hasher.hash(password)
    # Another process may be faster.
    with contextlib.suppress(AlreadyExists):
        await people.add_user(new_id(), email, password_hash, "admin", None)


async def _api_key(api_keys: ApiKeyStore, email: str, secret: str) -> None:
    if not is_key(secret):
        message = "REELGATE_GATEWAY_SEED_API_KEY must be rg- and 43 characters of base64url"
        raise InvalidArgument(message)
    await api_keys.seed(new_id(), email, "Demo", hint=hint(secret), secret_hash=digest(secret))

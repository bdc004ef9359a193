"""API keys: how programs show whose they are."""

import hashlib
import re
import secrets
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from services.gateway.people import ApiKey, KnownKey, NewApiKey, name_of
from services.gateway.store.api_keys import ApiKeyStore
from services.kernel.errors import InvalidArgument, Unauthenticated
from services.kernel.ids import new_id

MAX_KEYS_PER_USER: Final = 100
_PREFIX: Final = "rg-"
_SECRET_BYTES: Final = 32
# 32 bytes are 43 characters of base64url.
_FORM: Final = re.compile(r"rg-[A-Za-z0-9_-]{43}")
_HINT_CHARACTERS: Final = 7
_MAX_MODELS: Final = 100
_MAX_MODEL_CHARACTERS: Final = 200
_MAX_LIMIT: Final = 1_000_000


class ApiKeys:
    """The rules of keys."""

    def __init__(self, store: ApiKeyStore) -> None:
        self._store = store

    async def create(self, owner: UUID, wish: NewApiKey) -> tuple[ApiKey, str]:
        """A new key and its secret, which is shown this once.

        Raises InvalidArgument, ResourceExhausted (TOO_MANY_KEYS).
        """
        secret = _PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
        _check(wish)
        key = await self._store.add(
            new_id(),
            owner,
            replace(wish, name=name_of(wish.name)),
            hint=hint(secret),
            secret_hash=digest(secret),
            at_most=MAX_KEYS_PER_USER,
        )
        return key, secret

    async def list(self, owner: UUID) -> list[ApiKey]:
        """Those that were not revoked, newest first."""
        return await self._store.list(owner)

    async def revoke(self, owner: UUID, key_id: UUID) -> None:
        """Ends a key at once. Raises NotFound, also for somebody else's."""
        await self._store.revoke(owner, key_id)

    async def known(self, secret: str) -> KnownKey:
        """The key that has this secret.

        Raises Unauthenticated (BAD_API_KEY) for one that is unknown, revoked, expired, or whose owner is disabled.
        """
        # The index compares digests of 256 random bits: how long that takes tells nothing that helps to guess.
        key = await self._store.use(digest(secret)) if is_key(secret) else None
        if key is None:
            message = "This API key is not known, was revoked or has expired."
            raise Unauthenticated(message, reason="BAD_API_KEY")
        return key


def digest(secret: str) -> bytes:
    """SHA-256: what is kept of a secret."""
    return hashlib.sha256(secret.encode()).digest()


def hint(secret: str) -> str:
    """So much of a secret tells a person which it is."""
    return secret[:_HINT_CHARACTERS]


def is_key(text: str) -> bool:
    """Has the form of a key."""
    return _FORM.fullmatch(text) is not None


def _check(wish: NewApiKey) -> None:
    if wish.expires_at is not None and wish.expires_at <= datetime.now(UTC):
        raise InvalidArgument("This time has passed already.", field="expire_time")
    if len(wish.models) > _MAX_MODELS:
        raise InvalidArgument(f"A key names at most {_MAX_MODELS} models.", field="models")
    for model in wish.models:
        if not 1 <= len(model) <= _MAX_MODEL_CHARACTERS or not model.isprintable():
            raise InvalidArgument("This is not the name of a model.", field="models")
    for field in ("concurrency_limit", "requests_per_minute"):
        if not 0 <= getattr(wish, field) <= _MAX_LIMIT:
            raise InvalidArgument(f"{field} must be 0 to {_MAX_LIMIT:,}.", field=field)

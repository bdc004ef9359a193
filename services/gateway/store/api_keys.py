"""SQL of API keys."""

from typing import Final
from uuid import UUID

from psycopg.rows import class_row

from services.gateway.people import ApiKey, KnownKey, NewApiKey, User
from services.kernel.errors import NotFound, ResourceExhausted, Unauthenticated
from services.kernel.postgres import Pool

_COLUMNS: Final = """
    k.id, k.name, k.hint, k.created_at, k.expires_at, k.last_used_at, k.models, k.concurrency_limit,
    k.requests_per_minute
"""
# His row is locked, so that his keys are counted one after another.
_LOCK_OWNER: Final = "SELECT id FROM users WHERE id = %s AND NOT disabled FOR NO KEY UPDATE"
_COUNT: Final = "SELECT count(*) FROM api_keys WHERE user_id = %s AND revoked_at IS NULL"
_ADD: Final = f"""
INSERT INTO api_keys AS k (
    id, user_id, name, hint, secret_hash, models, concurrency_limit, requests_per_minute, expires_at
) VALUES (
    %(id)s, %(user_id)s, %(name)s, %(hint)s, %(secret_hash)s, %(models)s, %(concurrency_limit)s,
    %(requests_per_minute)s, %(expires_at)s
) RETURNING {_COLUMNS}
"""
_SEED: Final = """
INSERT INTO api_keys (id, user_id, name, hint, secret_hash)
SELECT %(id)s, id, %(name)s, %(hint)s, %(secret_hash)s FROM users WHERE email = %(email)s
ON CONFLICT (secret_hash) DO NOTHING
"""
_LIST: Final = f"""
SELECT {_COLUMNS} FROM api_keys k WHERE k.user_id = %s AND k.revoked_at IS NULL ORDER BY k.id DESC
"""
_REVOKE: Final = """
UPDATE api_keys SET revoked_at = now() WHERE id = %s AND user_id = %s AND revoked_at IS NULL RETURNING id
"""
_KNOWN: Final = """
SELECT coalesce(k.last_used_at < now() - interval '1 minute', true), k.id, k.models, k.concurrency_limit,
    k.requests_per_minute, u.id, u.email, u.role, u.group_id, u.disabled, u.created_at
FROM api_keys k JOIN users u ON u.id = k.user_id
WHERE k.secret_hash = %s AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
    AND NOT u.disabled
"""
# To the minute: a busy key would otherwise write its row all the time.
_USED: Final = """
UPDATE api_keys SET last_used_at = now()
WHERE id = %s AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')
"""


class ApiKeyStore:
    """Keys; each method is one transaction."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def add(
        self,
        key_id: UUID,
        owner: UUID,
        new: NewApiKey,
        *,
        hint: str,
        secret_hash: bytes,
        at_most: int,
    ) -> ApiKey:
        """Raises ResourceExhausted (TOO_MANY_KEYS), Unauthenticated for an owner who is gone or disabled."""
        values = {
            "id": key_id,
            "user_id": owner,
            "name": new.name,
            "hint": hint,
            "secret_hash": secret_hash,
            "models": list(new.models),
            "concurrency_limit": new.concurrency_limit,
            "requests_per_minute": new.requests_per_minute,
            "expires_at": new.expires_at,
        }
        async with self._pool.connection() as connection, connection.transaction():
            cursor = await connection.execute(_LOCK_OWNER, (owner,))
            if await cursor.fetchone() is None:
                raise Unauthenticated("This user does not exist any more or is disabled.")
            cursor = await connection.execute(_COUNT, (owner,))
            count = await cursor.fetchone()
            if count is not None and count[0] >= at_most:
                message = f"You have {at_most} keys, which is the limit. Revoke one first."
                raise ResourceExhausted(
                    message, reason="TOO_MANY_KEYS", metadata={"limit": str(at_most)}
                )
            keys = connection.cursor(row_factory=class_row(ApiKey))
            await keys.execute(_ADD, values)
            key = await keys.fetchone()
            assert key is not None  # noqa: S101 - an INSERT of one row returns it
        return key

    async def seed(
        self, key_id: UUID, email: str, name: str, *, hint: str, secret_hash: bytes
    ) -> None:
        """Gives the user with this address a key with a secret that is given; one that was there stays as it is."""
        values = {
            "id": key_id,
            "email": email,
            "name": name,
            "hint": hint,
            "secret_hash": secret_hash,
        }
        async with self._pool.connection() as connection:
            await connection.execute(_SEED, values)

    async def list(self, owner: UUID) -> list[ApiKey]:
        """Those that were not revoked, newest first."""
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=class_row(ApiKey))
            await cursor.execute(_LIST, (owner,))
            return await cursor.fetchall()

    async def revoke(self, owner: UUID, key_id: UUID) -> None:
        """Raises NotFound, also for somebody else's and for one that was revoked before."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(_REVOKE, (key_id, owner))
            if await cursor.fetchone() is None:
                raise NotFound("There is no such key.")

    async def use(self, secret_hash: bytes) -> KnownKey | None:
        """The key with this secret if it is good, after writing down that it was used."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(_KNOWN, (secret_hash,))
            row = await cursor.fetchone()
            if row is None:
                return None
            unwritten, key_id, models, concurrency, per_minute, *owner = row
            key = KnownKey(key_id, models, concurrency, per_minute, User(*owner))
            if unwritten:
                await connection.execute(_USED, (key.id,))
        return key

"""SQL of upstream accounts and their health."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from psycopg.types.json import Jsonb

from services.gateway.providers.port import Account
from services.kernel.errors import NotFound
from services.kernel.ids import new_id
from services.kernel.postgres import Pool
from services.kernel.sealing import KeyRing

_GET: Final = """
SELECT id, name, dialect, base_url, sealed_credential, model_map, options FROM accounts WHERE id = %s
"""
_SEED: Final = """
INSERT INTO accounts (id, name, dialect, base_url, sealed_credential, models, options)
VALUES (%(id)s, %(name)s, %(dialect)s, %(base_url)s, %(sealed)s, %(models)s, %(options)s)
ON CONFLICT (name) DO UPDATE SET base_url = excluded.base_url
RETURNING id
"""
_SEAL: Final = "UPDATE accounts SET sealed_credential = %s WHERE id = %s"
_SERVED: Final = """
SELECT dialect, models FROM accounts WHERE status = 'active'
"""
# The rest grows with each failure in a row and ends with the first success; an upstream that names a time is obeyed.
_COOL_DOWN: Final = """
UPDATE accounts SET failures = failures + 1,
    cooldown_until = now() + make_interval(secs => coalesce(%(seconds)s, least(300, 2 ^ least(failures, 10))))
WHERE id = %(id)s
"""
_HEAL: Final = """
UPDATE accounts SET failures = 0, cooldown_until = NULL WHERE id = %s AND (failures > 0 OR cooldown_until IS NOT NULL)
"""


class AccountStore:
    """Accounts; credentials are sealed on the way in and opened on the way out."""

    def __init__(self, pool: Pool, keys: KeyRing) -> None:
        self._pool = pool
        self._keys = keys

    async def get(self, account_id: UUID) -> Account:
        """With its credential. Raises NotFound."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(_GET, (account_id,))
            row = await cursor.fetchone()
        if row is None:
            raise NotFound("There is no such account.")
        credential = self._keys.unseal(
            row[4], table="accounts", row=str(row[0]), column="credential"
        )
        return Account(
            id=str(row[0]),
            name=row[1],
            dialect=row[2],
            base_url=row[3],
            credential=credential.decode(),
            model_map=row[5],
            options=row[6],
        )

    async def seed(
        self,
        name: str,
        *,
        dialect: str,
        base_url: str,
        credential: str,
        models: Sequence[str] = (),
        options: dict[str, Any],
    ) -> None:
        """Makes the account, or brings address and credential of the one of this name up to date."""
        async with self._pool.connection() as connection, connection.transaction():
            values = {
                "id": new_id(),
                "name": name,
                "dialect": dialect,
                "base_url": base_url,
                "sealed": b"",
                "models": list(models),
                "options": Jsonb(options),
            }
            cursor = await connection.execute(_SEED, values)
            row = await cursor.fetchone()
            assert row is not None  # noqa: S101 - an upsert returns its row
            sealed = self._keys.seal(
                credential.encode(), table="accounts", row=str(row[0]), column="credential"
            )
            await connection.execute(_SEAL, (sealed, row[0]))

    async def served(self) -> list[tuple[str, Sequence[str]]]:
        """(dialect, models; none = all) of each active account."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(_SERVED)
            return [(row[0], row[1]) for row in await cursor.fetchall()]

    async def cool_down(self, account_id: UUID, seconds: float | None) -> None:
        """Lets an account rest for `seconds`, or for longer with each failure in a row."""
        values = {"id": account_id, "seconds": seconds}
        async with self._pool.connection() as connection:
            await connection.execute(_COOL_DOWN, values)

    async def heal(self, account_id: UUID) -> None:
        """It works again."""
        async with self._pool.connection() as connection:
            await connection.execute(_HEAL, (account_id,))

"""SQL of users, groups and their sessions, and of log-ins that failed."""

from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from services.gateway.people import Group, Role, User, UserChange
from services.gateway.refresh_tokens import RefreshToken
from services.gateway.store.api_keys import ApiKeyStore
from services.kernel.errors import AlreadyExists, InvalidArgument, NotFound
from services.kernel.postgres import Pool

MAX_LOGIN_FAILURES: Final = 10
LOGIN_WINDOW_SECONDS: Final = 900
SESSION_SECONDS: Final = 30 * 86_400
# How long the token before the newest one is taken for a second tab's, and not for a thief's.
SECOND_TAB_SECONDS: Final = 10

_Row = TypeVar("_Row")

_USER_COLUMNS: Final = "u.id, u.email, u.role, u.group_id, u.disabled, u.created_at"

_ADD_USER: Final = f"""
INSERT INTO users AS u (id, email, password_hash, role, group_id)
VALUES (%(id)s, %(email)s, %(password_hash)s, %(role)s, %(group_id)s)
ON CONFLICT (email) DO NOTHING RETURNING {_USER_COLUMNS}
"""
_USER: Final = f"SELECT {_USER_COLUMNS} FROM users u WHERE u.id = %s"
_CREDENTIALS: Final = f"SELECT u.password_hash, {_USER_COLUMNS} FROM users u WHERE u.email = %s"
_USERS: Final = f"""
SELECT {_USER_COLUMNS} FROM users u
WHERE strpos(u.email, lower(%(query)s)) > 0 AND (%(after)s::uuid IS NULL OR u.id > %(after)s)
ORDER BY u.id LIMIT %(limit)s
"""
_COUNT_USERS: Final = "SELECT count(*) FROM users"
_LOCK_USER: Final = "SELECT role FROM users WHERE id = %s FOR NO KEY UPDATE"
_UPDATE_USER: Final = f"""
UPDATE users u SET role = coalesce(%(role)s, u.role), disabled = coalesce(%(disabled)s, u.disabled),
    password_hash = coalesce(%(password_hash)s, u.password_hash),
    group_id = CASE WHEN %(moves)s THEN %(group_id)s ELSE u.group_id END
WHERE u.id = %(id)s RETURNING {_USER_COLUMNS}
"""
_END_SESSIONS: Final = "DELETE FROM sessions WHERE user_id = %s"

_ADD_GROUP: Final = """
INSERT INTO groups (id, name) VALUES (%s, %s) ON CONFLICT (name) DO NOTHING RETURNING id, name, created_at
"""
_GROUP: Final = "SELECT id, name, created_at FROM groups WHERE id = %s"
_GROUPS: Final = "SELECT id, name, created_at FROM groups ORDER BY name"
_RENAME_GROUP: Final = "UPDATE groups SET name = %s WHERE id = %s RETURNING id, name, created_at"
_REMOVE_GROUP: Final = "DELETE FROM groups WHERE id = %s RETURNING id"

# The lock makes a change of the password or a ban wait, which then finds this session and ends it; one that came first
# is seen here.
_BEGIN_SESSION: Final = """
WITH person AS (
    SELECT id FROM users
    WHERE id = %(user_id)s AND NOT disabled AND password_hash = %(password_hash)s FOR SHARE
)
INSERT INTO sessions (id, user_id, secret_hash, expires_at)
SELECT %(id)s, id, %(secret_hash)s, now() + make_interval(secs => %(lifetime)s) FROM person
RETURNING id
"""
# Of two at once one waits for the other's commit, and then finds another generation.
_ROTATE: Final = f"""
UPDATE sessions s SET secret_hash = %(next_hash)s, previous_hash = s.secret_hash, salt = %(salt)s,
    generation = s.generation + 1, rotated_at = now(), expires_at = now() + make_interval(secs => %(lifetime)s)
FROM users u
WHERE s.id = %(id)s AND s.generation = %(generation)s AND s.secret_hash = %(secret_hash)s
    AND s.expires_at > now() AND u.id = s.user_id AND NOT u.disabled
RETURNING {_USER_COLUMNS}
"""
_JUST_ROTATED: Final = f"""
SELECT s.salt, {_USER_COLUMNS} FROM sessions s JOIN users u ON u.id = s.user_id
WHERE s.id = %(id)s AND s.generation = %(generation)s + 1 AND s.previous_hash = %(secret_hash)s
    AND s.rotated_at > now() - make_interval(secs => %(second_tab)s)
    AND s.expires_at > now() AND NOT u.disabled
"""
_END_SESSION: Final = """
DELETE FROM sessions
WHERE id = %(id)s
    AND (generation > %(generation)s OR generation = %(generation)s AND secret_hash = %(secret_hash)s)
RETURNING user_id, generation > %(generation)s
"""

_LOGIN_FAILED: Final = "INSERT INTO login_failures (email_hash) VALUES (%s)"
_FORGET_FAILURES: Final = "DELETE FROM login_failures WHERE email_hash = %s"
_WAIT: Final = """
SELECT extract(epoch FROM failed_at - now())::float8 + %(window)s FROM login_failures
WHERE email_hash = %(email_hash)s AND failed_at > now() - make_interval(secs => %(window)s)
ORDER BY failed_at DESC OFFSET %(most)s - 1 LIMIT 1
"""
_FORGET_OLD_FAILURES: Final = """
DELETE FROM login_failures WHERE failed_at < now() - make_interval(secs => %s)
"""
_FORGET_OLD_SESSIONS: Final = "DELETE FROM sessions WHERE expires_at < now()"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a log-in is checked against."""

    user: User
    password_hash: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class EndedSession:
    """A session that is over; `by_old_token` when it was ended by a token that had been replaced."""

    user_id: UUID
    by_old_token: bool


class PeopleStore:
    """Users, groups, sessions; each method is one transaction. Their keys are in `api_keys`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.api_keys = ApiKeyStore(pool)

    async def add_user(
        self, user_id: UUID, email: str, password_hash: str, role: Role, group_id: UUID | None
    ) -> User:
        """Raises AlreadyExists (EMAIL_TAKEN), InvalidArgument for a group that is not there."""
        values = {"id": user_id, "email": email, "password_hash": password_hash}
        try:
            user = await self._one(User, _ADD_USER, values | {"role": role, "group_id": group_id})
        except psycopg.errors.ForeignKeyViolation:
            raise _no_such_group() from None
        if user is None:
            raise AlreadyExists("There is an account with this address.", reason="EMAIL_TAKEN")
        return user

    async def user(self, user_id: UUID) -> User:
        """Raises NotFound."""
        return _there(await self._one(User, _USER, (user_id,)))

    async def credentials(self, email: str) -> Credentials | None:
        """Of the user with this address."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(_CREDENTIALS, (email,))
            row = await cursor.fetchone()
        return None if row is None else Credentials(User(*row[1:]), row[0])

    async def users(self, query: str, *, after: UUID | None, limit: int) -> list[User]:
        """Those with `query` in their address, by id, behind `after`."""
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=class_row(User))
            await cursor.execute(_USERS, {"query": query, "after": after, "limit": limit})
            return await cursor.fetchall()

    async def count_users(self) -> int:
        """How many there are."""
        async with self._pool.connection() as connection:
            row = await (await connection.execute(_COUNT_USERS)).fetchone()
        return int(row[0]) if row else 0

    async def update_user(
        self, user_id: UUID, change: UserChange, password_hash: str | None
    ) -> User:
        """Ends his sessions when he is banned, has another password or another role.

        Raises NotFound, InvalidArgument for a group that is not there.
        """
        values = {
            "id": user_id,
            "role": change.role,
            "disabled": change.disabled,
            "password_hash": password_hash,
            "moves": change.moves,
            "group_id": change.group_id,
        }
        async with self._pool.connection() as connection, connection.transaction():
            cursor = await connection.execute(_LOCK_USER, (user_id,))
            before = _there(await cursor.fetchone())
            users = connection.cursor(row_factory=class_row(User))
            try:
                await users.execute(_UPDATE_USER, values)
            except psycopg.errors.ForeignKeyViolation:
                raise _no_such_group() from None
            user = _there(await users.fetchone())
            if change.disabled or password_hash is not None or user.role != before[0]:
                await connection.execute(_END_SESSIONS, (user_id,))
        return user

    async def add_group(self, group_id: UUID, name: str) -> Group:
        """Raises AlreadyExists (NAME_TAKEN)."""
        group = await self._one(Group, _ADD_GROUP, (group_id, name))
        if group is None:
            raise _name_taken()
        return group

    async def group(self, group_id: UUID) -> Group:
        """Raises NotFound."""
        group = await self._one(Group, _GROUP, (group_id,))
        if group is None:
            raise NotFound("There is no such group.")
        return group

    async def groups(self) -> list[Group]:
        """All, by name."""
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=class_row(Group))
            await cursor.execute(_GROUPS)
            return await cursor.fetchall()

    async def rename_group(self, group_id: UUID, name: str) -> Group:
        """Raises NotFound, AlreadyExists (NAME_TAKEN)."""
        try:
            group = await self._one(Group, _RENAME_GROUP, (name, group_id))
        except psycopg.errors.UniqueViolation:
            raise _name_taken() from None
        if group is None:
            raise NotFound("There is no such group.")
        return group

    async def remove_group(self, group_id: UUID) -> None:
        """Its users then have none. Raises NotFound."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(_REMOVE_GROUP, (group_id,))
            if await cursor.fetchone() is None:
                raise NotFound("There is no such group.")

    async def begin_session(self, token: RefreshToken, checked: Credentials) -> bool:
        """False when the user was banned or got another password since he was checked."""
        values = _of(token) | {
            "user_id": checked.user.id,
            "password_hash": checked.password_hash,
            "lifetime": SESSION_SECONDS,
        }
        async with self._pool.connection() as connection:
            cursor = await connection.execute(_BEGIN_SESSION, values)
            return await cursor.fetchone() is not None

    async def rotate(self, token: RefreshToken, salt: bytes) -> User | None:
        """Replaces the newest token by `token.next(salt)`; None, and nothing moved, when it is not the newest."""
        values = _of(token) | {
            "salt": salt,
            "next_hash": token.next(salt).digest,
            "lifetime": SESSION_SECONDS,
        }
        return await self._one(User, _ROTATE, values)

    async def just_rotated(self, token: RefreshToken) -> tuple[User, bytes] | None:
        """The user and the salt, when `token` was replaced a moment ago by `token.next(salt)`."""
        values = _of(token) | {"second_tab": SECOND_TAB_SECONDS}
        async with self._pool.connection() as connection:
            cursor = await connection.execute(_JUST_ROTATED, values)
            row = await cursor.fetchone()
        return None if row is None else (User(*row[1:]), row[0])

    async def end_session(self, token: RefreshToken) -> EndedSession | None:
        """Ends the session of any token that it has or had; None when there was none to end."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(_END_SESSION, _of(token))
            row = await cursor.fetchone()
        return None if row is None else EndedSession(*row)

    async def login_failed(self, email_hash: bytes) -> None:
        """Counts a failure."""
        await self._execute(_LOGIN_FAILED, (email_hash,))

    async def forget_failures(self, email_hash: bytes) -> None:
        """He knows his password after all."""
        await self._execute(_FORGET_FAILURES, (email_hash,))

    async def login_wait(self, email_hash: bytes) -> float:
        """Seconds until this address may try again; 0 when it may now."""
        values = {
            "email_hash": email_hash,
            "window": LOGIN_WINDOW_SECONDS,
            "most": MAX_LOGIN_FAILURES,
        }
        async with self._pool.connection() as connection:
            cursor = await connection.execute(_WAIT, values)
            row = await cursor.fetchone()
        return 0.0 if row is None else float(row[0])

    async def forget_old(self) -> None:
        """Removes failures that do not count any more, and sessions that have expired."""
        await self._execute(_FORGET_OLD_FAILURES, (LOGIN_WINDOW_SECONDS,))
        await self._execute(_FORGET_OLD_SESSIONS, ())

    async def _one(self, kind: type[_Row], sql: str, values: Any) -> _Row | None:
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=class_row(kind))
            await cursor.execute(sql, values)
            return await cursor.fetchone()

    async def _execute(self, sql: str, values: Any) -> None:
        async with self._pool.connection() as connection:
            await connection.execute(sql, values)


def _there(row: _Row | None) -> _Row:
    if row is None:
        raise NotFound("There is no such user.")
    return row


def _no_such_group() -> InvalidArgument:
    return InvalidArgument("There is no such group.", field="group_id")


def _name_taken() -> AlreadyExists:
    return AlreadyExists("There is a group of this name.", reason="NAME_TAKEN", field="name")


def _of(token: RefreshToken) -> dict[str, Any]:
    return {
        "id": token.session_id,
        "generation": token.generation,
        "secret_hash": token.digest,
    }

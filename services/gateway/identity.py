"""Who somebody is and how he shows it: accounts, log-ins, sessions, and the tokens that come of them."""

import hashlib
import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final
from uuid import UUID

import structlog
from prometheus_client import Counter

from services.gateway.api_keys import ApiKeys
from services.gateway.passwords import Passwords
from services.gateway.people import Group, KnownKey, Role, User, UserChange, email_of, name_of
from services.gateway.refresh_tokens import SALT_BYTES, RefreshToken, session_over
from services.gateway.store.people import SESSION_SECONDS, PeopleStore
from services.kernel.errors import (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ReelgateError,
    ResourceExhausted,
    Unauthenticated,
)
from services.kernel.ids import new_id
from services.kernel.tokens import Signer

log = structlog.get_logger()

LOGINS_TOTAL: Final = Counter(
    "reelgate_logins_total",
    "Log-ins by outcome: ok, wrong, throttled, disabled",
    ("outcome",),
)
SESSIONS_STOLEN_TOTAL: Final = Counter(
    "reelgate_sessions_ended_by_old_token_total",
    "Sessions ended because a refresh token was shown that had been replaced",
)

AUDIENCE: Final = ("gateway", "storage", "quota")
ACCESS_SECONDS: Final = 900
KEY_TOKEN_SECONDS: Final = 300


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session: who it is, and both of its tokens with the seconds they live."""

    user: User
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    access_seconds: int = ACCESS_SECONDS
    refresh_seconds: int = SESSION_SECONDS


@dataclass(frozen=True, slots=True)
class KeyToken:
    """What an API key was traded for."""

    key: KnownKey
    access_token: str = field(repr=False)
    access_seconds: int = KEY_TOKEN_SECONDS


class Identity:
    """The rules of people; those of their keys are in `api_keys`."""

    def __init__(
        self,
        people: PeopleStore,
        signer: Signer,
        *,
        registration_enabled: bool,
    ) -> None:
        self._people = people
        self.api_keys = ApiKeys(people.api_keys)
        self._passwords = Passwords()
        self._signer = signer
        self._registration_enabled = registration_enabled

    async def register(self, email: str, password: str) -> User:
        """Raises FailedPrecondition (REGISTRATION_CLOSED), AlreadyExists (EMAIL_TAKEN), InvalidArgument."""
        if not self._registration_enabled:
            message = "Nobody can register here. Ask an administrator for an account."
            raise FailedPrecondition(message, reason="REGISTRATION_CLOSED")
        return await self.create_user(email, password, "user", None)

    async def create_user(
        self, email: str, password: str, role: Role, group_id: UUID | None
    ) -> User:
        """Raises AlreadyExists (EMAIL_TAKEN), InvalidArgument."""
        address = email_of(email)
        password_hash = await self._hash(password)
        return await self._people.add_user(new_id(), address, password_hash, role, group_id)

    async def login(self, email: str, password: str) -> SignedIn:
        """Begins a session.

        Raises Unauthenticated (BAD_CREDENTIALS; USER_DISABLED when the password was right), ResourceExhausted
        (TOO_MANY_LOGINS). An address that nobody has takes as long, and is throttled alike.
        """
        address = _possible(email)
        key = hashlib.sha256((address or email).encode()).digest()
        async with self._passwords.turn() as hasher:
            # Within the turn: guesses made at once overrun the limit by no more than there are turns.
            await self._refuse_if_throttled(key)
            found = None if address is None else await self._people.credentials(address)
            right = await hasher.matches(password, None if found is None else found.password_hash)
            if found is None or not right:
                await self._people.login_failed(key)
                LOGINS_TOTAL.labels("wrong").inc()
                message = "The e-mail address or the password is wrong."
                raise Unauthenticated(message, reason="BAD_CREDENTIALS")
        await self._people.forget_failures(key)
        # Random as a whole, since who knows it has held a token of the session.
        token = RefreshToken.first(uuid.uuid4())
        if not await self._people.begin_session(token, found):
            LOGINS_TOTAL.labels("disabled").inc()
            raise _no_such_person()
        LOGINS_TOTAL.labels("ok").inc()
        return self._signed_in(found.user, token)

    async def refresh(self, refresh_token: str) -> SignedIn:
        """Trades the newest refresh token of a session for the next one. Raises Unauthenticated (BAD_REFRESH_TOKEN).

        The one before the newest gets the same answer for ten seconds after the trade; any other that the session had
        before ends it, since two hold what only one should.
        """
        token = RefreshToken.parse(refresh_token)
        salt = secrets.token_bytes(SALT_BYTES)
        user = await self._people.rotate(token, salt)
        if user is not None:
            return self._signed_in(user, token.next(salt))
        again = await self._people.just_rotated(token)
        if again is not None:
            user, salt = again
            return self._signed_in(user, token.next(salt))
        ended = await self._people.end_session(token)
        if ended is not None and ended.by_old_token:
            SESSIONS_STOLEN_TOTAL.inc()
            log.warning("session_ended_by_old_token", user_id=str(ended.user_id))
        raise session_over()

    async def logout(self, refresh_token: str) -> None:
        """Ends the session of any of its tokens; none is no error."""
        try:
            token = RefreshToken.parse(refresh_token)
        except Unauthenticated:
            return
        await self._people.end_session(token)

    async def exchange_api_key(self, secret: str) -> KeyToken:
        """Raises Unauthenticated (BAD_API_KEY)."""
        key = await self.api_keys.known(secret)
        token = self._signer.sign(
            str(key.owner.id),
            audience=AUDIENCE,
            lifetime_seconds=KEY_TOKEN_SECONDS,
            role=key.owner.role,
            api_key_id=str(key.id),
        )
        return KeyToken(key, token)

    async def me(self, user_id: UUID) -> User:
        """Raises Unauthenticated when he is gone or disabled."""
        try:
            user = await self._people.user(user_id)
        except NotFound:
            raise _no_such_person() from None
        if user.disabled:
            raise _no_such_person()
        return user

    async def user(self, user_id: UUID) -> User:
        """Raises NotFound."""
        return await self._people.user(user_id)

    async def users(
        self, query: str, *, after: UUID | None, page_size: int
    ) -> tuple[Sequence[User], UUID | None]:
        """A page by id, and the last id of it when there is more. Raises InvalidArgument."""
        if not query.isprintable():
            raise InvalidArgument("Search for printable characters.", field="query")
        found = await self._people.users(query, after=after, limit=page_size + 1)
        page = found[:page_size]
        return page, page[-1].id if len(found) > page_size else None

    async def update_user(self, administrator: UUID, user_id: UUID, change: UserChange) -> User:
        """Raises NotFound, InvalidArgument, FailedPrecondition (OWN_ACCOUNT)."""
        if administrator == user_id and (change.disabled or change.role == "user"):
            message = "You can not take your own rights away. Ask another administrator."
            raise FailedPrecondition(message, reason="OWN_ACCOUNT")
        password_hash = None if change.password is None else await self._hash(change.password)
        return await self._people.update_user(
            user_id, replace(change, password=None), password_hash
        )

    async def create_group(self, name: str) -> Group:
        """Raises AlreadyExists (NAME_TAKEN), InvalidArgument."""
        return await self._people.add_group(new_id(), name_of(name))

    async def group(self, group_id: UUID) -> Group:
        """Raises NotFound."""
        return await self._people.group(group_id)

    async def groups(self) -> Sequence[Group]:
        """All, by name."""
        return await self._people.groups()

    async def rename_group(self, group_id: UUID, name: str) -> Group:
        """Raises NotFound, AlreadyExists (NAME_TAKEN), InvalidArgument."""
        return await self._people.rename_group(group_id, name_of(name))

    async def remove_group(self, group_id: UUID) -> None:
        """Its users then have none. Raises NotFound."""
        await self._people.remove_group(group_id)

    async def _hash(self, password: str) -> str:
        async with self._passwords.turn() as hasher:
            return await hasher.hash(password)

    async def _refuse_if_throttled(self, key: bytes) -> None:
        wait = await self._people.login_wait(key)
        if wait > 0:
            LOGINS_TOTAL.labels("throttled").inc()
            message = "Too many failed log-ins with this address. Wait a while and try again."
            raise ResourceExhausted(message, reason="TOO_MANY_LOGINS", retry_after=wait)

    def _signed_in(self, user: User, token: RefreshToken) -> SignedIn:
        access = self._signer.sign(
            str(user.id), audience=AUDIENCE, lifetime_seconds=ACCESS_SECONDS, role=user.role
        )
        return SignedIn(user, access, token.text())


def _possible(email: str) -> str | None:
    try:
        return email_of(email)
    except ReelgateError:
        return None


def _no_such_person() -> Unauthenticated:
    message = "This account does not exist any more or is disabled. Ask an administrator."
    return Unauthenticated(message, reason="USER_DISABLED")

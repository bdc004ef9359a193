"""Passwords: argon2id off the event loop, a few at once, and as much work for a user who does not exist."""

import asyncio
import secrets
import unicodedata
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import argon2

from services.kernel.errors import InvalidArgument, Unavailable

MIN_CHARACTERS: Final = 8
MAX_CHARACTERS: Final = 128

_HASHER: Final = argon2.PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
# Each takes 19 MiB and a core for some milliseconds.
_AT_ONCE: Final = 2
_MOST_WAITING: Final = 100


class Hasher:
    """What may be done in one's turn."""

    def __init__(self, dummy: str) -> None:
        self._dummy = dummy

    async def hash(self, password: str) -> str:
        """The argon2id hash, in its own text form. Raises InvalidArgument (field `password`)."""
        return await asyncio.to_thread(_HASHER.hash, password_of(password))

    async def matches(self, password: str, password_hash: str | None) -> bool:
        """Whether this is the password; without a hash never, after the same work."""
        return await asyncio.to_thread(self._matches, password, password_hash)

    def _matches(self, password: str, password_hash: str | None) -> bool:
        try:
            normal = password_of(password)
        except InvalidArgument:
            normal, password_hash = "", None
        try:
            _HASHER.verify(password_hash or self._dummy, normal)
        except (argon2.exceptions.VerifyMismatchError, argon2.exceptions.InvalidHashError):
            return False
        return password_hash is not None


class Passwords:
    """Hands out turns at hashing."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._waiting = 0
        # Nobody knows what this is the hash of.
        self._dummy = _HASHER.hash(secrets.token_urlsafe())

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Hasher]:
        """Waits for one of the slots. Raises Unavailable (BUSY) when too many wait already."""
        if self._waiting >= _MOST_WAITING:
            message = "Too many people are logging in right now. Try again in a moment."
            raise Unavailable(message, reason="BUSY", retry_after=5)
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
        try:
            yield Hasher(self._dummy)
        finally:
            self._slots.release()


def password_of(text: str) -> str:
    """The password as it is hashed: however it was typed, one form. Raises InvalidArgument (field `password`)."""
    # Bounded before it is normalised, which can make it eighteen times as long.
    password = text if len(text) > 4 * MAX_CHARACTERS else unicodedata.normalize("NFKC", text)
    if not MIN_CHARACTERS <= len(password) <= MAX_CHARACTERS:
        message = f"A password has {MIN_CHARACTERS} to {MAX_CHARACTERS} characters."
        raise InvalidArgument(message, field="password")
    return password

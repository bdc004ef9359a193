"""Refresh tokens: what they are made of, and how one follows from another.

A session's next secret is HMAC-SHA256(salt, secret), with a salt drawn at each rotation and kept in the
session's row. So whoever shows the token before the newest one shortly after the rotation (a second tab, a page
that was reloaded before it saw the answer) can be given the very same newest token again: both tabs go on with one
chain, and it does not matter whose answer reaches the cookie jar last. Neither a token alone nor a copy of the
database alone tells the next secret.
"""

import base64
import hashlib
import hmac
import re
import secrets
import struct
from dataclasses import dataclass, field
from typing import Final, Self
from uuid import UUID

from services.kernel.errors import Unauthenticated

SALT_BYTES: Final = 32
_SECRET_BYTES: Final = 32
_FORM: Final = struct.Struct(f">16sI{_SECRET_BYTES}s")
# 52 bytes as base64url without padding.
_TEXT: Final = re.compile(r"[A-Za-z0-9_-]{70}")
_LAST_GENERATION: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """One link of a session's chain."""

    session_id: UUID
    generation: int
    secret: bytes = field(repr=False)

    @classmethod
    def first(cls, session_id: UUID) -> Self:
        """That of a new session."""
        return cls(session_id, 0, secrets.token_bytes(_SECRET_BYTES))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises Unauthenticated for what was never one."""
        if _TEXT.fullmatch(text) is None:
            raise session_over()
        session, generation, secret = _FORM.unpack(base64.urlsafe_b64decode(text + "=="))
        if generation > _LAST_GENERATION:
            raise session_over()
        return cls(UUID(bytes=session), generation, secret)

    def next(self, salt: bytes) -> "RefreshToken":
        """The one that follows, given the salt of the rotation."""
        secret = hmac.digest(salt, self.secret, hashlib.sha256)
        return RefreshToken(self.session_id, self.generation + 1, secret)

    @property
    def digest(self) -> bytes:
        """SHA-256 of the secret: what is kept of it."""
        return hashlib.sha256(self.secret).digest()

    def text(self) -> str:
        """What the client keeps."""
        packed = _FORM.pack(self.session_id.bytes, self.generation, self.secret)
        return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


def session_over() -> Unauthenticated:
    """The same answer for every token that does not work, whatever the reason."""
    return Unauthenticated("The session has ended. Log in again.", reason="BAD_REFRESH_TOKEN")

"""Whom the gateway acts for, shown to the services behind it."""

import time
from typing import Final, Literal
from uuid import UUID

from services.kernel.tokens import Signer

_TOKEN_SECONDS: Final = 300
_TOKEN_REUSE_SECONDS: Final = 120
_TOKEN_CACHE: Final = 10_000


class OwnTokens:
    """Tokens with which the gateway acts for an owner; each is used for two of its five minutes."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self._tokens: dict[tuple[UUID, str], tuple[float, str]] = {}

    def metadata(
        self, owner: UUID, audience: Literal["storage", "quota"]
    ) -> tuple[tuple[str, str]]:
        """What a call for `owner` carries."""
        now = time.monotonic()
        made_at, token = self._tokens.get((owner, audience), (-_TOKEN_SECONDS, ""))
        if now - made_at > _TOKEN_REUSE_SECONDS:
            if len(self._tokens) > _TOKEN_CACHE:
                self._tokens.clear()
            token = self._signer.sign(
                str(owner), audience=(audience,), lifetime_seconds=_TOKEN_SECONDS, actor="gateway"
            )
            self._tokens[owner, audience] = (now, token)
        return (("authorization", f"Bearer {token}"),)

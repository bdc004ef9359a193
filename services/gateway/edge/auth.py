"""Who calls: the API key in `Authorization: Bearer`."""

import time
from collections import OrderedDict
from typing import Final

from services.gateway.api_keys import ApiKeys, digest, is_key
from services.gateway.people import KnownKey
from services.kernel.errors import Unauthenticated

# A revoked key works for this long at most.
REMEMBERED_SECONDS: Final = 5.0
_MOST: Final = 10_000


class KeyGate:
    """Lets good keys pass, and remembers them for a moment so that a busy one does not ask the database each time."""

    def __init__(self, api_keys: ApiKeys) -> None:
        self._api_keys = api_keys
        # By digest: secrets do not lie around in memory.
        self._known: OrderedDict[bytes, tuple[KnownKey, float]] = OrderedDict()

    async def key_of(self, authorization: str) -> KnownKey:
        """The key in an Authorization header. Raises Unauthenticated (BAD_API_KEY)."""
        scheme, _, secret = authorization.partition(" ")
        secret = secret.strip()
        if scheme.lower() != "bearer" or not is_key(secret):
            message = (
                "Send your API key as 'Authorization: Bearer rg-…'."
                if not secret
                else "This is not an API key of Reelgate: those begin with 'rg-'."
            )
            raise Unauthenticated(message, reason="BAD_API_KEY")
        key = digest(secret)
        now = time.monotonic()
        remembered = self._known.get(key)
        if remembered is not None and remembered[1] > now:
            return remembered[0]
        self._known.pop(key, None)
        known = await self._api_keys.known(secret)
        self._known[key] = (known, now + REMEMBERED_SECONDS)
        if len(self._known) > _MOST:
            self._known.popitem(last=False)
        return known

"""Where links to works point: origins that the page's content security policy has to allow."""

import asyncio
import re
from typing import Final

import structlog

from services.frontend_bff.clients.storage import StorageClient
from services.kernel.errors import ReelgateError

log = structlog.get_logger()

# With the time storage takes to see new S3 settings it stays below the 5 s within which they are in force everywhere.
_REFRESH_SECONDS: Final = 2.0
_RETRY_SECONDS: Final = 1.0
# What stands in a header must not be able to end it, or a directive in it.
_ORIGIN: Final = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]+")


class LinkOrigins:
    """The origins as storage told them last. An operator may change them at any time."""

    def __init__(self, storage: StorageClient) -> None:
        self._storage = storage
        self.current: tuple[str, ...] = ()

    async def follow(self) -> None:
        """Asks storage again and again, for as long as it runs."""
        while True:
            try:
                tiers = await self._storage.tiers()
            except ReelgateError as error:
                log.debug("link_origins_unknown", reason=error.reason)
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                self.current = tuple(
                    origin for origin in tiers.link_origins if _ORIGIN.fullmatch(origin)
                )
                await asyncio.sleep(_REFRESH_SECONDS)

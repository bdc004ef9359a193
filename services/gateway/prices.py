"""What a generation costs now: the price that is set in quota, else the catalogue's (G8)."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

import structlog

from services.gateway.catalogue import Model
from services.kernel.errors import ReelgateError, Unavailable

log = structlog.get_logger()

_FRESH_SECONDS: Final = 5.0
_RETRY_SECONDS: Final = 1.0
# An outage of quota of this length is not noticed here; an Admit is refused meanwhile anyway.
_STALE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Price:
    """Credits for one medium of a model from a moment on; 0 seconds stands for any duration."""

    model: str
    duration_seconds: int
    credits: int
    effective_at: datetime


@dataclass(frozen=True, slots=True)
class PriceList:
    """Prices that are set: those in force, and those to come."""

    prices: Sequence[Price] = ()

    def of(self, model: Model, now: datetime | None = None) -> int:
        """Credits for one medium: the latest price of its very duration, else of any, else the catalogue's."""
        now = now or datetime.now(UTC)
        for seconds in (model.duration_seconds or 0, 0):
            begun = [
                price
                for price in self.prices
                if price.model == model.id
                and price.duration_seconds == seconds
                and price.effective_at <= now
            ]
            if begun:
                return max(begun, key=lambda price: price.effective_at).credits
        return model.credits


class PriceSource(Protocol):
    """Whoever keeps the prices."""

    async def prices(self) -> Sequence[Price]:
        """Those in force and those to come."""


class Prices:
    """The list, read again every few seconds. Several callers at once cause one reading."""

    def __init__(self, source: PriceSource) -> None:
        self._source = source
        self._list = PriceList()
        self._read_at = self._tried_at = -_STALE_SECONDS
        self._reading = asyncio.Lock()

    async def now(self) -> PriceList:
        """The list as it was within 5 s. Raises Unavailable when it could not be read for a minute."""
        async with self._reading:
            now = time.monotonic()
            if now - self._read_at >= _FRESH_SECONDS and now - self._tried_at >= _RETRY_SECONDS:
                self._tried_at = now
                try:
                    self._list = PriceList(await self._source.prices())
                    self._read_at = time.monotonic()
                except ReelgateError as error:
                    log.warning("prices_not_read", reason=error.reason)
            if time.monotonic() - self._read_at >= _STALE_SECONDS:
                raise Unavailable("The prices can not be read right now.", retry_after=2)
            return self._list

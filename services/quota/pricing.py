"""The rules of prices."""

from collections.abc import Sequence
from typing import Final

from services.kernel.context import caller, require_admin
from services.kernel.errors import InvalidArgument, NotFound
from services.quota.asking import check_amount
from services.quota.credits import Price
from services.quota.store.prices import PriceStore

_MOST_PRICES: Final = 1000
_LONGEST_MODEL: Final = 200
_LONGEST_SECONDS: Final = 24 * 3600
_MOST_MEDIA: Final = 1000


class Pricing:
    """What generations cost."""

    def __init__(self, store: PriceStore) -> None:
        self._store = store

    async def set(self, prices: Sequence[Price]) -> None:
        """Adds prices; of equal dates the last one wins. All or none. Raises InvalidArgument."""
        who = require_admin()
        if not 1 <= len(prices) <= _MOST_PRICES:
            raise InvalidArgument(f"Set 1 to {_MOST_PRICES} prices at once.", field="prices")
        for price in prices:
            _check(price.model, price.duration_seconds, "prices.")
            check_amount(price.credits, "prices.credits")
        await self._store.add(prices, who.subject)

    async def list(self) -> Sequence[Price]:
        """The prices in force and those to come, by model, duration and date."""
        caller()
        return await self._store.current()

    async def quote(self, model: str, duration_seconds: int, count: int) -> int:
        """Credits for `count` media (0: one). Raises NotFound (NO_PRICE), InvalidArgument."""
        caller()
        _check(model, duration_seconds, "")
        if not 0 <= count <= _MOST_MEDIA:
            raise InvalidArgument(f"Ask for 1 to {_MOST_MEDIA} media.", field="count")
        price = await self._store.in_force(model, duration_seconds)
        if price is None:
            raise NotFound(f"The model {model} has no price.", reason="NO_PRICE")
        credits_ = price.credits * max(count, 1)
        check_amount(credits_, "count")
        return credits_


def _check(model: str, duration_seconds: int, prefix: str) -> None:
    if not 0 < len(model) <= _LONGEST_MODEL or "\x00" in model:
        raise InvalidArgument("Name the model.", field=f"{prefix}model")
    if not 0 <= duration_seconds <= _LONGEST_SECONDS:
        raise InvalidArgument(
            f"A duration is 0 to {_LONGEST_SECONDS} seconds.", field=f"{prefix}duration_seconds"
        )

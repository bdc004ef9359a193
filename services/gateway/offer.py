"""What can be asked for now: the catalogue, as far as an active account serves it."""

from collections.abc import Sequence

from services.gateway.catalogue import Catalogue, Model
from services.gateway.providers import DIALECTS
from services.gateway.store.accounts import AccountStore


class Offer:
    """Looks at the accounts each time it is asked."""

    def __init__(self, catalogue: Catalogue, accounts: AccountStore) -> None:
        self._catalogue = catalogue
        self._accounts = accounts

    async def models(self) -> list[Model]:
        """Every model that an active account serves, in the order of the catalogue."""
        served = await self._accounts.served()
        return [model for model in self._catalogue if _is_among(model, served)]

    async def includes(self, model: Model) -> bool:
        """An active account serves the model."""
        return _is_among(model, await self._accounts.served())

    async def is_open(self) -> bool:
        """An active account exists."""
        return bool(await self._accounts.served())


def _is_among(model: Model, served: Sequence[tuple[str, Sequence[str]]]) -> bool:
    return any(
        dialect in DIALECTS
        and model.media_type in DIALECTS[dialect].media_types
        and (not names or model.id in names)
        for dialect, names in served
    )

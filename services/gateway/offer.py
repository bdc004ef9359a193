"""What can be asked for now: the catalogue, as far as an active account serves it."""

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
        served = [
            (DIALECTS[dialect].media_types, names)
            for dialect, names in await self._accounts.served()
            if dialect in DIALECTS
        ]
        return [
            model
            for model in self._catalogue
            if any(
                model.media_type in media_types and (not names or model.id in names)
                for media_types, names in served
            )
        ]

    async def is_open(self) -> bool:
        """An active account exists."""
        return bool(await self._accounts.served())

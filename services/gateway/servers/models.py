"""`ModelService`."""
# Names, arguments and meaning of these methods are the contract's.
# ruff: noqa: D102

import importlib.metadata
from typing import Any, Final

import grpc
from google.protobuf.struct_pb2 import Struct

from reelgate.common.v1 import media_pb2
from reelgate.gateway.v1 import model_pb2, model_pb2_grpc
from services.gateway.catalogue import Catalogue, Model
from services.gateway.offer import Offer
from services.gateway.prices import PriceList, Prices
from services.gateway.servers.convert import seconds
from services.gateway.store.accounts import AccountStore
from services.kernel.errors import Unavailable

_SERVICE: Final = "reelgate.gateway.v1.ModelService"
PUBLIC_METHODS: Final = (f"/{_SERVICE}/GetPublicSettings",)
_DEFAULT_LOCALE: Final = "en"
_MEDIA_TYPES: Final = {
    "video": media_pb2.MEDIA_TYPE_VIDEO,
    "image": media_pb2.MEDIA_TYPE_IMAGE,
}


def add_to(
    server: grpc.aio.Server,
    catalogue: Catalogue,
    accounts: AccountStore,
    prices: Prices,
    *,
    registration_enabled: bool,
) -> list[str]:
    """Adds the service; returns its name."""
    servicer = ModelServicer(
        Offer(catalogue, accounts), prices, registration_enabled=registration_enabled
    )
    model_pb2_grpc.add_ModelServiceServicer_to_server(servicer, server)
    return [_SERVICE]


class ModelServicer(model_pb2_grpc.ModelServiceServicer):
    """The catalogue and the public settings, over gRPC."""

    def __init__(self, offer: Offer, prices: Prices, *, registration_enabled: bool) -> None:
        self._offer = offer
        self._prices = prices
        self._registration_enabled = registration_enabled
        self._version = importlib.metadata.version("reelgate")

    async def ListModels(self, request: Any, context: Any) -> Any:
        models = await self._offer.models()
        try:
            prices = await self._prices.now()
        except Unavailable:
            # Nothing can be generated without quota, but everything can be looked at.
            prices = PriceList()
        return model_pb2.ListModelsResponse(
            models=[_message(model, prices.of(model)) for model in models]
        )

    async def GetPublicSettings(self, request: Any, context: Any) -> Any:
        return model_pb2.GetPublicSettingsResponse(
            client_enabled=await self._offer.is_open(),
            registration_enabled=self._registration_enabled,
            default_locale=_DEFAULT_LOCALE,
            version=self._version,
        )


def _message(model: Model, credits_: int) -> model_pb2.Model:
    # No model of the catalogue has parameters of its own.
    schema = Struct()
    schema.update({"type": "object", "properties": {}, "additionalProperties": False})
    return model_pb2.Model(
        id=model.id,
        family=model.family,
        name=model.name,
        media_type=_MEDIA_TYPES[model.media_type],
        orientation=model.orientation,
        duration=seconds(model.duration_seconds),
        parameters_schema=schema,
        credits=credits_,
    )

"""The gateway's ModelService: what can be asked for, and what a page may know before log-in."""

import grpc

from reelgate.gateway.v1 import model_pb2, model_pb2_grpc
from services.frontend_bff.clients import records
from services.frontend_bff.schemas.answers import Model, PublicSettings
from services.kernel.status import rpc_errors


class CatalogueClient:
    """Models and public settings. Every method raises what the gateway raised."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: model_pb2_grpc.ModelServiceAsyncStub = model_pb2_grpc.ModelServiceStub(channel)

    async def models(self) -> list[Model]:
        """Every model that can be asked for, in the order to be shown."""
        with rpc_errors():
            answer = await self._stub.ListModels(model_pb2.ListModelsRequest())
        return [records.model(one) for one in answer.models]

    async def public_settings(self) -> PublicSettings:
        """What a page may know before anyone has logged in."""
        with rpc_errors():
            answer = await self._stub.GetPublicSettings(model_pb2.GetPublicSettingsRequest())
        return {
            "sora_client_enabled": answer.client_enabled,
            "registration_enabled": answer.registration_enabled,
            "default_locale": answer.default_locale,
            "version": answer.version,
        }

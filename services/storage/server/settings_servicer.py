"""The servicer of the S3 settings; all rules are the service's."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, Final

import grpc
from google.protobuf.duration_pb2 import Duration

from reelgate.storage.v1 import settings_pb2, settings_pb2_grpc
from services.kernel.errors import InvalidArgument
from services.storage.configuration.form import S3Form
from services.storage.configuration.model import InForce, SettingsOrigin
from services.storage.configuration.service import S3SettingsService
from services.storage.s3.capabilities import Capabilities, Checksums
from services.storage.s3.target import Delivery
from services.storage.trial.trial import Step

_Context = grpc.aio.ServicerContext[Any, Any]

_DELIVERIES: Final = {
    Delivery.REDIRECT: settings_pb2.DELIVERY_REDIRECT,
    Delivery.PROXY: settings_pb2.DELIVERY_PROXY,
}
_DELIVERY_OF: Final = {
    **{value: delivery for delivery, value in _DELIVERIES.items()},
    settings_pb2.DELIVERY_UNSPECIFIED: Delivery.REDIRECT,
}
_ORIGINS: Final = {
    SettingsOrigin.ENVIRONMENT: settings_pb2.SETTINGS_ORIGIN_ENVIRONMENT,
    SettingsOrigin.OPERATOR: settings_pb2.SETTINGS_ORIGIN_OPERATOR,
}


class StorageSettingsServicer(settings_pb2_grpc.StorageSettingsServiceServicer):
    """Translates; all rules are the service's."""

    def __init__(self, service: S3SettingsService) -> None:
        self._service = service

    async def GetS3Settings(
        self, request: settings_pb2.GetS3SettingsRequest, context: _Context
    ) -> settings_pb2.GetS3SettingsResponse:
        """The settings in force."""
        shown = await self._service.get()
        return settings_pb2.GetS3SettingsResponse(
            settings=_settings_message(shown.in_force),
            origin=_ORIGINS[shown.in_force.origin],
            capabilities=_capabilities_message(shown.capabilities),
            warnings=shown.warnings,
        )

    async def UpdateS3Settings(
        self, request: settings_pb2.UpdateS3SettingsRequest, context: _Context
    ) -> settings_pb2.UpdateS3SettingsResponse:
        """Replaces all of them."""
        if not request.HasField("settings"):
            raise InvalidArgument("There are no settings.", field="settings")
        now = await self._service.update(
            _form(request.settings), leave_objects_behind=request.leave_objects_behind
        )
        return settings_pb2.UpdateS3SettingsResponse(settings=_settings_message(now))

    async def ResetS3Settings(
        self, request: settings_pb2.ResetS3SettingsRequest, context: _Context
    ) -> settings_pb2.ResetS3SettingsResponse:
        """Back to the environment's."""
        now = await self._service.reset(
            request.etag, leave_objects_behind=request.leave_objects_behind
        )
        return settings_pb2.ResetS3SettingsResponse(settings=_settings_message(now))

    async def TestS3Settings(
        self, request: settings_pb2.TestS3SettingsRequest, context: _Context
    ) -> AsyncIterator[settings_pb2.TestS3SettingsResponse]:
        """One message for each step as it ends."""
        trial = self._service.test(
            _form(request.settings) if request.HasField("settings") else None,
            connect_only=request.connect_only,
            keep_picture=request.keep_picture,
        )
        async with aclosing(trial) as steps:
            async for step in steps:
                yield settings_pb2.TestS3SettingsResponse(step=_step_message(step))


def _form(message: settings_pb2.S3Settings) -> S3Form:
    delivery = _DELIVERY_OF.get(message.delivery)
    if delivery is None:
        raise InvalidArgument("This way of delivery is not known.", field="delivery")
    return S3Form(
        enabled=message.enabled,
        endpoint=message.endpoint,
        public_endpoint=message.public_endpoint,
        region=message.region,
        bucket=message.bucket,
        access_key_id=message.access_key_id,
        secret_access_key=message.secret_access_key,
        prefix=message.prefix,
        path_style=message.force_path_style,
        cdn_url=message.cdn_url,
        delivery=delivery,
        etag=message.etag,
    )


def _settings_message(now: InForce) -> settings_pb2.S3Settings:
    target = now.settings.target
    return settings_pb2.S3Settings(
        enabled=now.settings.enabled,
        endpoint=target.endpoint,
        public_endpoint=target.public_endpoint,
        region=target.region,
        bucket=target.bucket,
        access_key_id=target.access_key_id,
        secret_set=bool(target.secret_access_key) or now.locked,
        prefix=target.prefix,
        force_path_style=target.path_style,
        cdn_url=target.cdn_url,
        delivery=_DELIVERIES[target.delivery],
        etag=now.etag,
    )


def _capabilities_message(found: Capabilities | None) -> settings_pb2.S3Capabilities | None:
    if found is None or found.tried_at is None:
        return None
    message = settings_pb2.S3Capabilities(
        listing=found.listing, checksums=found.checksums is Checksums.VERIFIED
    )
    message.try_time.FromDatetime(found.tried_at)
    return message


def _step_message(step: Step) -> settings_pb2.TestStep:
    duration = Duration()
    duration.FromNanoseconds(int(step.seconds * 1e9))
    return settings_pb2.TestStep(
        name=step.name, ok=step.ok, detail=step.detail, cure=step.cure, duration=duration
    )

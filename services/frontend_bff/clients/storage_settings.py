"""The storage service's StorageSettingsService: where S3 is, for administrators."""

from typing import Final, cast

import grpc

from reelgate.storage.v1 import settings_pb2, settings_pb2_grpc
from services.frontend_bff.schemas.storage_answers import S3Settings, Trial, TrialStep
from services.frontend_bff.schemas.storage_requests import S3Change, S3Form
from services.frontend_bff.schemas.values import Delivery, SettingsOrigin
from services.kernel.errors import DeadlineExceeded
from services.kernel.status import rpc_errors

# A new bucket is asked for objects that are kept in the old one.
_CHANGE_SECONDS: Final = 50.0
# Proxies in front of us lose patience after a minute.
_TRIAL_SECONDS: Final = 55.0
_DELIVERY_NUMBER: Final = {
    "redirect": settings_pb2.DELIVERY_REDIRECT,
    "proxy": settings_pb2.DELIVERY_PROXY,
}
_DELIVERY: Final = {number: cast("Delivery", name) for name, number in _DELIVERY_NUMBER.items()}
_ORIGIN: Final[dict[settings_pb2.SettingsOrigin.ValueType, SettingsOrigin]] = {
    settings_pb2.SETTINGS_ORIGIN_ENVIRONMENT: "environment",
    settings_pb2.SETTINGS_ORIGIN_OPERATOR: "operator",
}


class StorageSettingsClient:
    """The S3 settings. Every method raises what storage raised; its fields have the names of our own."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: settings_pb2_grpc.StorageSettingsServiceAsyncStub = (
            settings_pb2_grpc.StorageSettingsServiceStub(channel)
        )

    async def get(self) -> S3Settings:
        """The settings in force."""
        with rpc_errors():
            return _settings(await self._stub.GetS3Settings(settings_pb2.GetS3SettingsRequest()))

    async def update(self, change: S3Change) -> S3Settings:
        """Replaces them. Raises Aborted (STALE_ETAG) when they are not those that were read."""
        request = settings_pb2.UpdateS3SettingsRequest(
            settings=_message(change), leave_objects_behind=change.leave_objects_behind
        )
        request.settings.etag = change.etag
        with rpc_errors():
            answer = await self._stub.UpdateS3Settings(request, timeout=_CHANGE_SECONDS)
        return await self._changed(answer.settings, settings_pb2.SETTINGS_ORIGIN_OPERATOR)

    async def reset(self, etag: str, *, leave_objects_behind: bool) -> S3Settings:
        """Goes back to those of the environment. Raises as `update`."""
        request = settings_pb2.ResetS3SettingsRequest(
            etag=etag, leave_objects_behind=leave_objects_behind
        )
        with rpc_errors():
            answer = await self._stub.ResetS3Settings(request, timeout=_CHANGE_SECONDS)
        return await self._changed(answer.settings, settings_pb2.SETTINGS_ORIGIN_ENVIRONMENT)

    async def test(self, form: S3Form) -> Trial:
        """Tries the values without keeping them; after 55 s with the steps that came until then."""
        request = settings_pb2.TestS3SettingsRequest(settings=_message(form))
        steps: list[TrialStep] = []
        try:
            with rpc_errors():
                async for answer in self._stub.TestS3Settings(request, timeout=_TRIAL_SECONDS):
                    steps.append(_step(answer.step))  # noqa: PERF401 - those that came stay
        except DeadlineExceeded:
            steps.append(_OUT_OF_TIME)
        return {"ok": bool(steps) and all(step["ok"] for step in steps), "steps": steps}

    async def _changed(
        self,
        settings: settings_pb2.S3Settings,
        origin: settings_pb2.SettingsOrigin.ValueType,
    ) -> S3Settings:
        with rpc_errors():
            answer = await self._stub.GetS3Settings(settings_pb2.GetS3SettingsRequest())
        # Another replica may have answered, for which the change is seconds away.
        answer.settings.CopyFrom(settings)
        answer.origin = origin
        return _settings(answer)


_OUT_OF_TIME: Final[TrialStep] = {
    "name": "time",
    "ok": False,
    "detail": f"The trial was stopped after {_TRIAL_SECONDS:.0f} seconds.",
    "cure": "Find out why the server answers so slowly: is the endpoint right, and is it near?",
    "duration_ms": _TRIAL_SECONDS * 1000,
}


def _message(form: S3Form) -> settings_pb2.S3Settings:
    return settings_pb2.S3Settings(
        enabled=form.enabled,
        endpoint=form.endpoint,
        public_endpoint=form.public_endpoint,
        region=form.region,
        bucket=form.bucket,
        access_key_id=form.access_key_id,
        secret_access_key=form.secret_access_key or "",
        prefix=form.prefix,
        force_path_style=form.force_path_style,
        cdn_url=form.cdn_url,
        delivery=_DELIVERY_NUMBER[form.delivery],
    )


def _settings(answer: settings_pb2.GetS3SettingsResponse) -> S3Settings:
    found = answer.settings
    capabilities = answer.capabilities
    return {
        "enabled": found.enabled,
        "endpoint": found.endpoint,
        "public_endpoint": found.public_endpoint,
        "region": found.region,
        "bucket": found.bucket,
        "access_key_id": found.access_key_id,
        "secret_access_key": None,
        "secret_set": found.secret_set,
        "prefix": found.prefix,
        "force_path_style": found.force_path_style,
        "cdn_url": found.cdn_url,
        "delivery": _DELIVERY.get(found.delivery, "redirect"),
        "etag": found.etag,
        "origin": _ORIGIN.get(answer.origin, "environment"),
        "capabilities": {
            "listing": capabilities.listing,
            "checksums": capabilities.checksums,
            "tried_at": capabilities.try_time.ToJsonString(),
        }
        if answer.HasField("capabilities")
        else None,
        "warnings": list(answer.warnings),
    }


def _step(step: settings_pb2.TestStep) -> TrialStep:
    return {
        "name": step.name,
        "ok": step.ok,
        "detail": step.detail,
        "cure": step.cure or None,
        "duration_ms": step.duration.ToMicroseconds() / 1000,
    }

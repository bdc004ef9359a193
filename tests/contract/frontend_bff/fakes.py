"""The services below the BFF, as their protos have them: each method answers what a test told it to."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc

from reelgate.gateway.v1 import (
    generation_pb2,
    generation_pb2_grpc,
    identity_pb2,
    identity_pb2_grpc,
    model_pb2,
    model_pb2_grpc,
)
from reelgate.quota.v1 import credit_pb2, credit_pb2_grpc, quota_pb2, quota_pb2_grpc
from reelgate.storage.v1 import settings_pb2, settings_pb2_grpc, storage_pb2, storage_pb2_grpc
from services.kernel import context
from services.kernel.errors import Aborted, ReelgateError, Unauthenticated, Unimplemented

SERVICES: tuple[tuple[Any, str, Callable[[Any, grpc.aio.Server], None]], ...] = (
    (
        generation_pb2,
        "GenerationService",
        generation_pb2_grpc.add_GenerationServiceServicer_to_server,
    ),
    (identity_pb2, "IdentityService", identity_pb2_grpc.add_IdentityServiceServicer_to_server),
    (model_pb2, "ModelService", model_pb2_grpc.add_ModelServiceServicer_to_server),
    (storage_pb2, "StorageService", storage_pb2_grpc.add_StorageServiceServicer_to_server),
    (
        settings_pb2,
        "StorageSettingsService",
        settings_pb2_grpc.add_StorageSettingsServiceServicer_to_server,
    ),
    (quota_pb2, "QuotaService", quota_pb2_grpc.add_QuotaServiceServicer_to_server),
    (credit_pb2, "CreditService", credit_pb2_grpc.add_CreditServiceServicer_to_server),
)

PUBLIC = tuple(
    f"/reelgate.{method}"
    for method in (
        "gateway.v1.IdentityService/Register",
        "gateway.v1.IdentityService/Login",
        "gateway.v1.IdentityService/Refresh",
        "gateway.v1.IdentityService/Logout",
        "gateway.v1.IdentityService/ExchangeApiKey",
        "gateway.v1.ModelService/GetPublicSettings",
        "storage.v1.StorageService/GetStatus",
    )
)


@dataclass
class Seen:
    """One call as it arrived."""

    method: str
    request: Any
    subject: str
    request_id: str


@dataclass
class Backend:
    """What the services answer (by method name) and what they were asked.

    An answer is a message, an error to raise, or a function of the request that gives either. Of a method that
    streams it is a list of those. An `asyncio.Event` in a list is waited for, also in a list for a method that does
    not stream.
    """

    answers: dict[str, Any] = field(default_factory=dict)
    calls: list[Seen] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)

    def asked(self, method: str) -> list[Any]:
        """The requests that `method` got."""
        return [call.request for call in self.calls if call.method == method]

    def caused(self) -> list[Seen]:
        """The calls that a request caused: all but those that the BFF makes by itself."""
        return [call for call in self.calls if call.method != "GetStatus"]

    def subjects(self, method: str) -> list[str]:
        """For whom `method` was called."""
        return [call.subject for call in self.calls if call.method == method]

    def add_to(self, server: grpc.aio.Server) -> None:
        """Makes `server` offer every service."""
        for module, name, add in SERVICES:
            servicer = type(name, (), {})()
            for method in module.DESCRIPTOR.services_by_name[name].methods:
                make = self._stream if method.server_streaming else self._unary
                if method.client_streaming:
                    make = self._collected
                setattr(servicer, method.name, make(method.name))
            add(servicer, server)

    def _begin(self, name: str, request: Any) -> Any:
        try:
            subject = context.caller().subject
        except Unauthenticated:
            subject = ""
        self.calls.append(Seen(name, request, subject, context.request_id.get()))
        if name not in self.answers:
            raise Unimplemented("This is not available in this version yet.")
        return self.answers[name]

    @staticmethod
    def _give(answer: Any, request: Any) -> Any:
        if callable(answer):
            answer = answer(request)
        if isinstance(answer, ReelgateError):
            raise answer
        return answer

    def _unary(self, name: str) -> Callable[..., Any]:
        stream = self._stream(name)

        async def serve(request: Any, context: Any) -> Any:
            return [message async for message in stream(request, context)][-1]

        return serve

    def _collected(self, name: str) -> Callable[..., Any]:
        """The request of a method that a client streams is the list of its messages."""
        unary = self._unary(name)

        async def serve(requests: Any, context: Any) -> Any:
            sent = [message async for message in requests]
            if not sent or sent[-1].WhichOneof("part") != "commit":
                self.cancelled.append(name)
                raise Aborted("The upload broke off before its commit.", reason="SOURCE_FAILED")
            return await unary(sent, context)

        return serve

    def _stream(self, name: str) -> Callable[..., Any]:
        async def serve(request: Any, _: Any) -> AsyncIterator[Any]:
            try:
                answer = self._give(self._begin(name, request), request)
                for step in answer if isinstance(answer, list) else [answer]:
                    if isinstance(step, asyncio.Event):
                        await step.wait()
                    else:
                        yield self._give(step, request)
            except asyncio.CancelledError:
                self.cancelled.append(name)
                raise

        return serve

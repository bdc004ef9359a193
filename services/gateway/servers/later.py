"""Services whose contract is there and whose work is not yet: each method answers UNIMPLEMENTED."""

from collections.abc import Callable
from typing import Any, Final

import grpc

from reelgate.gateway.v1 import (
    account_pb2_grpc,
    audit_pb2_grpc,
    completion_pb2_grpc,
    settings_pb2_grpc,
    webhook_pb2_grpc,
)
from services.kernel.errors import Unimplemented

_Add = Callable[[Any, grpc.aio.Server], None]

_SERVICES: Final[tuple[tuple[str, type[Any], _Add, str], ...]] = (
    (
        "AccountService",
        account_pb2_grpc.AccountServiceServicer,
        account_pb2_grpc.add_AccountServiceServicer_to_server,
        "Managing upstream accounts",
    ),
    (
        "WebhookService",
        webhook_pb2_grpc.WebhookServiceServicer,
        webhook_pb2_grpc.add_WebhookServiceServicer_to_server,
        "A webhook",
    ),
    (
        "SettingsService",
        settings_pb2_grpc.SettingsServiceServicer,
        settings_pb2_grpc.add_SettingsServiceServicer_to_server,
        "Changing settings at run time",
    ),
    (
        "AuditService",
        audit_pb2_grpc.AuditServiceServicer,
        audit_pb2_grpc.add_AuditServiceServicer_to_server,
        "The audit log",
    ),
    (
        "CompletionService",
        completion_pb2_grpc.CompletionServiceServicer,
        completion_pb2_grpc.add_CompletionServiceServicer_to_server,
        "Forwarding chat completions",
    ),
)


def add_to(server: grpc.aio.Server) -> list[str]:
    """Adds them; returns their names."""
    for _, servicer, add, what in _SERVICES:
        add(_refusing(servicer, what), server)
    return [f"reelgate.gateway.v1.{name}" for name, *_ in _SERVICES]


def _refusing(servicer: type[Any], what: str) -> Any:
    def refuse(*_: Any) -> Any:
        # Not a coroutine: raised before anything is awaited or iterated, it fits all four shapes of a call.
        raise Unimplemented(f"{what} is not available in this version yet.")

    methods = {name: refuse for name in vars(servicer) if not name.startswith("_")}
    return type(f"Later{servicer.__name__}", (servicer,), methods)()

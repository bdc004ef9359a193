"""`ReconciliationService`."""
# Names, arguments and meaning of these methods are the contract's.
# ruff: noqa: D102

from collections.abc import AsyncIterator
from typing import Any, Final, cast

import grpc

from reelgate.gateway.v1 import reconciliation_pb2, reconciliation_pb2_grpc
from reelgate.quota.v1 import quota_pb2
from services.gateway.reconciliation import Counted, Reconciliation
from services.kernel.context import require_admin
from services.kernel.ids import parse_id

_SERVICE: Final = "reelgate.gateway.v1.ReconciliationService"


def add_to(server: grpc.aio.Server, reconciliation: Reconciliation) -> list[str]:
    """Adds the service; returns its name."""
    servicer = ReconciliationServicer(reconciliation)
    reconciliation_pb2_grpc.add_ReconciliationServiceServicer_to_server(servicer, server)
    return [_SERVICE]


class ReconciliationServicer(reconciliation_pb2_grpc.ReconciliationServiceServicer):
    """Counting users anew, over gRPC."""

    def __init__(self, reconciliation: Reconciliation) -> None:
        self._reconciliation = reconciliation

    async def Reconcile(self, request: Any, context: Any) -> AsyncIterator[Any]:
        require_admin()
        if request.user_id:
            user_id = parse_id(request.user_id, "user_id")
            yield _answer(await self._reconciliation.user(user_id, repair=request.repair))
            return
        async for counted in self._reconciliation.everybody(repair=request.repair):
            yield _answer(counted)


def _answer(counted: Counted) -> reconciliation_pb2.ReconcileResponse:
    return reconciliation_pb2.ReconcileResponse(
        recount=cast("quota_pb2.Recount", counted.recount),  # handed on as quota said it
        done_count=counted.done,
        total_count=counted.total,
    )

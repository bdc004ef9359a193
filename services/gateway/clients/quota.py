"""The quota service as the gateway calls it."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from reelgate.common.v1 import run_pb2
from reelgate.quota.v1 import credit_pb2, credit_pb2_grpc, quota_pb2, quota_pb2_grpc
from services.gateway.clients.runs import run_message
from services.gateway.clients.tokens import OwnTokens
from services.gateway.generations import Generation
from services.gateway.prices import Price
from services.kernel.status import rpc_errors

QUOTA_CONTRACTS: Final = (quota_pb2.DESCRIPTOR, credit_pb2.DESCRIPTOR)

# For what concerns no user in particular.
_NOBODY: Final = UUID(int=0)
_RUNS_IN_A_MESSAGE: Final = 5000
_RECONCILE_SECONDS: Final = 120.0


class QuotaClient:
    """The quota service."""

    def __init__(self, channel: grpc.aio.Channel, tokens: OwnTokens) -> None:
        self._stub: Any = quota_pb2_grpc.QuotaServiceStub(channel)
        self._credit_stub: Any = credit_pb2_grpc.CreditServiceStub(channel)
        self._tokens = tokens

    async def admit(
        self, generation_id: UUID, run: int, owner: UUID, reserve_bytes: int, price_credits: int
    ) -> None:
        """Reserves room and holds the price.

        Raises ResourceExhausted (INSUFFICIENT_CREDITS, QUOTA_EXCEEDED), FailedPrecondition (RUN_ENDED).
        """
        request = quota_pb2.AdmitRequest(
            run=run_pb2.Run(generation_id=str(generation_id), number=run),
            user_id=str(owner),
            reserve_bytes=reserve_bytes,
            price_credits=price_credits,
        )
        with rpc_errors():
            await self._stub.Admit(request, metadata=self._tokens.metadata(owner, "quota"))

    async def admit_save(self, generation: Generation, token: int, reserve_bytes: int) -> None:
        """Reserves room for a result that was not kept, to keep it after all.

        Raises ResourceExhausted (QUOTA_EXCEEDED), FailedPrecondition (RUN_ENDED, STALE_LEASE).
        """
        request = quota_pb2.AdmitRequest(
            run=run_message(generation, token),
            user_id=str(generation.user_id),
            reserve_bytes=reserve_bytes,
            save=True,
        )
        with rpc_errors():
            await self._stub.Admit(
                request, metadata=self._tokens.metadata(generation.user_id, "quota")
            )

    async def settle(
        self, generation: Generation, token: int, stored_bytes: int, *, kept: bool
    ) -> None:
        """Counts what is kept (0 for a result that is left at its upstream) and spends the price.

        Raises ResourceExhausted (QUOTA_EXCEEDED), FailedPrecondition (RUN_ENDED, STALE_LEASE).
        """
        outcome = quota_pb2.RUN_OUTCOME_KEPT if kept else quota_pb2.RUN_OUTCOME_NOT_KEPT
        request = quota_pb2.SettleRequest(
            run=run_message(generation, token), stored_bytes=stored_bytes, outcome=outcome
        )
        with rpc_errors():
            await self._stub.Settle(
                request, metadata=self._tokens.metadata(generation.user_id, "quota")
            )

    async def release_unclaimed(self, generation_id: UUID, run: int, owner: UUID) -> None:
        """Gives back what a run holds that no worker has claimed."""
        request = quota_pb2.ReleaseRequest(
            run=run_pb2.Run(generation_id=str(generation_id), number=run), user_id=str(owner)
        )
        with rpc_errors():
            await self._stub.Release(request, metadata=self._tokens.metadata(owner, "quota"))

    async def release(self, generation: Generation, token: int) -> None:
        """Gives back whatever the run holds."""
        request = quota_pb2.ReleaseRequest(
            run=run_message(generation, token), user_id=str(generation.user_id)
        )
        with rpc_errors():
            await self._stub.Release(
                request, metadata=self._tokens.metadata(generation.user_id, "quota")
            )

    async def grant(self, user_id: UUID, amount: int, reason: str, request_id: UUID) -> None:
        """Gives a user credits, once for each request."""
        request = credit_pb2.GrantCreditsRequest(
            user_id=str(user_id), amount=amount, reason=reason, request_id=str(request_id)
        )
        with rpc_errors():
            await self._credit_stub.GrantCredits(
                request, metadata=self._tokens.metadata(user_id, "quota")
            )

    async def set_subject(self, user_id: UUID, group_id: UUID | None, version: int) -> None:
        """Says which group a user is in; an older version than the last one is ignored."""
        request = quota_pb2.SetSubjectRequest(
            user_id=str(user_id),
            group_id="" if group_id is None else str(group_id),
            version=version,
        )
        with rpc_errors():
            await self._stub.SetSubject(request, metadata=self._tokens.metadata(user_id, "quota"))

    async def prices(self) -> list[Price]:
        """The prices in force and those to come."""
        request = credit_pb2.ListPricesRequest()
        with rpc_errors():
            answer = await self._credit_stub.ListPrices(
                request, metadata=self._tokens.metadata(_NOBODY, "quota")
            )
        return [
            Price(
                price.model,
                price.duration_seconds,
                price.credits,
                price.effective_time.ToDatetime(UTC),
            )
            for price in answer.prices
        ]

    async def reconcile(
        self,
        user_id: UUID,
        found: Mapping[tuple[UUID, int], int],
        listed_at: datetime,
        *,
        repair: bool,
    ) -> quota_pb2.Recount:
        """Has a user counted by what storage holds of his runs, and repaired when that is asked for."""
        with rpc_errors():
            answer = await self._stub.ReconcileUser(
                _recount_requests(user_id, found, listed_at, repair=repair),
                metadata=self._tokens.metadata(user_id, "quota"),
                timeout=_RECONCILE_SECONDS,
            )
        recount: quota_pb2.Recount = answer.recount
        return recount


def _recount_requests(
    user_id: UUID, found: Mapping[tuple[UUID, int], int], listed_at: datetime, *, repair: bool
) -> Iterator[quota_pb2.ReconcileUserRequest]:
    listed = Timestamp()
    listed.FromDatetime(listed_at)
    yield quota_pb2.ReconcileUserRequest(user_id=str(user_id), repair=repair, list_time=listed)
    runs = [
        quota_pb2.RunBytes(generation_id=str(generation_id), run=number, bytes=size_bytes)
        for (generation_id, number), size_bytes in found.items()
    ]
    for start in range(0, len(runs), _RUNS_IN_A_MESSAGE):
        yield quota_pb2.ReconcileUserRequest(runs=runs[start : start + _RUNS_IN_A_MESSAGE])

"""gRPC ⇄ the service: nothing is decided here."""
# What the methods mean is said in the contract.
# ruff: noqa: D102

from typing import Any, Final
from uuid import UUID

import grpc

from reelgate.common.v1 import run_pb2
from reelgate.quota.v1 import credit_pb2_grpc, quota_pb2, quota_pb2_grpc
from services.kernel.errors import InvalidArgument
from services.kernel.ids import parse_id
from services.quota.model import LimitTarget, Outcome, Quota, Run, Source, Usage
from services.quota.service import QuotaService

SERVICE_NAMES: Final = ("reelgate.quota.v1.QuotaService", "reelgate.quota.v1.CreditService")

_Context = grpc.aio.ServicerContext[Any, Any]

_SOURCE: Final = {
    Source.USER: quota_pb2.QUOTA_SOURCE_USER,
    Source.GROUP: quota_pb2.QUOTA_SOURCE_GROUP,
    Source.DEFAULT: quota_pb2.QUOTA_SOURCE_DEFAULT,
    Source.UNLIMITED: quota_pb2.QUOTA_SOURCE_UNLIMITED,
}
_OUTCOME: Final = {
    quota_pb2.RUN_OUTCOME_KEPT: Outcome.KEPT,
    quota_pb2.RUN_OUTCOME_NOT_KEPT: Outcome.NOT_KEPT,
}


def add_servicers(server: grpc.aio.Server, service: QuotaService) -> None:
    """Adds everything that reelgate.quota.v1 offers."""
    quota_pb2_grpc.add_QuotaServiceServicer_to_server(QuotaServicer(service), server)
    # The contract of credits is there, the ledger is not yet: all of it answers UNIMPLEMENTED.
    no_credits: Any = credit_pb2_grpc.CreditServiceServicer
    credit_pb2_grpc.add_CreditServiceServicer_to_server(no_credits(), server)


class QuotaServicer(quota_pb2_grpc.QuotaServiceServicer):
    """reelgate.quota.v1.QuotaService."""

    def __init__(self, service: QuotaService) -> None:
        self._service = service

    async def GetQuota(
        self, request: quota_pb2.GetQuotaRequest, context: _Context
    ) -> quota_pb2.GetQuotaResponse:
        quota = await self._service.get(_optional_id(request.user_id, "user_id"))
        return quota_pb2.GetQuotaResponse(quota=_quota(quota))

    async def Admit(
        self, request: quota_pb2.AdmitRequest, context: _Context
    ) -> quota_pb2.AdmitResponse:
        quota, replayed = await self._service.admit(
            _run(request),
            parse_id(request.user_id, "user_id"),
            request.reserve_bytes,
            request.price_credits,
        )
        return quota_pb2.AdmitResponse(quota=_quota(quota), replayed=replayed)

    async def Settle(
        self, request: quota_pb2.SettleRequest, context: _Context
    ) -> quota_pb2.SettleResponse:
        outcome = _OUTCOME.get(request.outcome)
        if outcome is None:
            raise InvalidArgument("Say how the run ended.", field="outcome")
        quota = await self._service.settle(_run(request), request.stored_bytes, outcome)
        return quota_pb2.SettleResponse(quota=_quota(quota))

    async def Release(
        self, request: quota_pb2.ReleaseRequest, context: _Context
    ) -> quota_pb2.ReleaseResponse:
        quota = await self._service.release(_run(request), _optional_id(request.user_id, "user_id"))
        return quota_pb2.ReleaseResponse(quota=_quota(quota))

    async def SetSubject(
        self, request: quota_pb2.SetSubjectRequest, context: _Context
    ) -> quota_pb2.SetSubjectResponse:
        await self._service.set_subject(
            parse_id(request.user_id, "user_id"),
            _optional_id(request.group_id, "group_id"),
            request.version,
        )
        return quota_pb2.SetSubjectResponse()

    async def SetLimits(
        self, request: quota_pb2.SetLimitsRequest, context: _Context
    ) -> quota_pb2.SetLimitsResponse:
        target, target_id = _limit_target(request)
        await self._service.set_limit(target, target_id, request.quota_bytes)
        return quota_pb2.SetLimitsResponse()

    async def ListUsage(
        self, request: quota_pb2.ListUsageRequest, context: _Context
    ) -> quota_pb2.ListUsageResponse:
        usages, last = await self._service.list_usage(
            _optional_id(request.page_token, "page_token"), request.page_size
        )
        return quota_pb2.ListUsageResponse(
            usages=map(_usage, usages), next_page_token="" if last is None else str(last)
        )


def _optional_id(text: str, field: str) -> UUID | None:
    return parse_id(text, field) if text else None


def _run(
    request: quota_pb2.AdmitRequest | quota_pb2.SettleRequest | quota_pb2.ReleaseRequest,
) -> Run:
    run: run_pb2.Run = request.run
    if run.number < 0:
        raise InvalidArgument("A run is counted from 0.", field="run.number")
    if run.lease_token < 0:
        raise InvalidArgument("A lease token is not negative.", field="run.lease_token")
    return Run(parse_id(run.generation_id, "run.generation_id"), run.number, run.lease_token)


def _limit_target(request: quota_pb2.SetLimitsRequest) -> tuple[LimitTarget, UUID | None]:
    match request.WhichOneof("target"):
        case "user_id":
            return LimitTarget.USER, parse_id(request.user_id, "user_id")
        case "group_id":
            return LimitTarget.GROUP, parse_id(request.group_id, "group_id")
        case "default" if request.default:
            return LimitTarget.DEFAULT, None
        case _:
            raise InvalidArgument(
                "Say whose limit: a user's, a group's or the default.", field="target"
            )


def _quota(quota: Quota) -> quota_pb2.Quota:
    return quota_pb2.Quota(
        user_id=str(quota.user_id),
        quota_bytes=quota.quota_bytes,
        used_bytes=quota.used_bytes,
        reserved_bytes=quota.reserved_bytes,
        available_bytes=quota.available_bytes,
        source=_SOURCE[quota.source],
    )


def _usage(usage: Usage) -> quota_pb2.Usage:
    message = quota_pb2.Usage(quota=_quota(usage.quota))
    message.update_time.FromDatetime(usage.update_time)
    return message

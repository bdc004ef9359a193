"""reelgate.quota.v1.QuotaService."""
# What the methods mean is said in the contract.
# ruff: noqa: D102

from collections.abc import AsyncIterator, Sequence
from datetime import date
from typing import Final
from uuid import UUID

import grpc

from reelgate.common.v1 import run_pb2
from reelgate.quota.v1 import quota_pb2, quota_pb2_grpc
from services.kernel.errors import InvalidArgument
from services.kernel.ids import parse_id
from services.quota.books import Books
from services.quota.model import (
    DailyUsage,
    LimitTarget,
    Outcome,
    Quota,
    Recount,
    Run,
    RunBytes,
    Source,
    Usage,
)
from services.quota.recounting import Recounting
from services.quota.reporting import Reporting
from services.quota.servers.convert import Context, credits_message, day, moment, optional_id
from services.quota.service import QuotaService

_MOST_RUNS_IN_A_MESSAGE: Final = 10_000
_MOST_RUNS_ANSWERED: Final = 1000
_SEPARATOR: Final = "/"

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


def add_to(server: grpc.aio.Server, books: Books) -> Sequence[str]:
    """Adds what runs and byte quotas offer; returns its name."""
    servicer = QuotaServicer(books.runs, books.recounting, books.reporting)
    quota_pb2_grpc.add_QuotaServiceServicer_to_server(servicer, server)
    return ("reelgate.quota.v1.QuotaService",)


class QuotaServicer(quota_pb2_grpc.QuotaServiceServicer):
    """reelgate.quota.v1.QuotaService."""

    def __init__(self, service: QuotaService, recounting: Recounting, reporting: Reporting) -> None:
        self._service = service
        self._recounting = recounting
        self._reporting = reporting

    async def GetQuota(
        self, request: quota_pb2.GetQuotaRequest, context: Context
    ) -> quota_pb2.GetQuotaResponse:
        quota = await self._service.get(optional_id(request.user_id, "user_id"))
        return quota_pb2.GetQuotaResponse(quota=_quota(quota))

    async def Admit(
        self, request: quota_pb2.AdmitRequest, context: Context
    ) -> quota_pb2.AdmitResponse:
        run, user_id = _run(request), parse_id(request.user_id, "user_id")
        if request.save:
            if request.price_credits:
                raise InvalidArgument("To save costs nothing.", field="price_credits")
            admitted = self._service.admit_save(run, user_id, request.reserve_bytes)
        else:
            admitted = self._service.admit(
                run, user_id, request.reserve_bytes, request.price_credits
            )
        quota, replayed = await admitted
        return quota_pb2.AdmitResponse(quota=_quota(quota), replayed=replayed)

    async def Settle(
        self, request: quota_pb2.SettleRequest, context: Context
    ) -> quota_pb2.SettleResponse:
        outcome = _OUTCOME.get(request.outcome)
        if outcome is None:
            raise InvalidArgument("Say how the run ended.", field="outcome")
        quota = await self._service.settle(_run(request), request.stored_bytes, outcome)
        return quota_pb2.SettleResponse(quota=_quota(quota))

    async def Release(
        self, request: quota_pb2.ReleaseRequest, context: Context
    ) -> quota_pb2.ReleaseResponse:
        quota = await self._service.release(_run(request), optional_id(request.user_id, "user_id"))
        return quota_pb2.ReleaseResponse(quota=_quota(quota))

    async def SetSubject(
        self, request: quota_pb2.SetSubjectRequest, context: Context
    ) -> quota_pb2.SetSubjectResponse:
        await self._service.set_subject(
            parse_id(request.user_id, "user_id"),
            optional_id(request.group_id, "group_id"),
            request.version,
        )
        return quota_pb2.SetSubjectResponse()

    async def SetLimits(
        self, request: quota_pb2.SetLimitsRequest, context: Context
    ) -> quota_pb2.SetLimitsResponse:
        target, target_id = _limit_target(request)
        await self._service.set_limit(target, target_id, request.quota_bytes)
        return quota_pb2.SetLimitsResponse()

    async def ListLimits(
        self, request: quota_pb2.ListLimitsRequest, context: Context
    ) -> quota_pb2.ListLimitsResponse:
        default_bytes, groups = await self._service.limits()
        return quota_pb2.ListLimitsResponse(
            default_bytes=default_bytes,
            groups=[
                quota_pb2.GroupLimit(group_id=str(group.group_id), quota_bytes=group.quota_bytes)
                for group in groups
            ],
        )

    async def ListUsage(
        self, request: quota_pb2.ListUsageRequest, context: Context
    ) -> quota_pb2.ListUsageResponse:
        usages, last = await self._reporting.usages(
            optional_id(request.page_token, "page_token"), request.page_size
        )
        return quota_pb2.ListUsageResponse(
            usages=map(_usage, usages), next_page_token="" if last is None else str(last)
        )

    async def BatchGetUsage(
        self, request: quota_pb2.BatchGetUsageRequest, context: Context
    ) -> quota_pb2.BatchGetUsageResponse:
        wanted = [parse_id(user_id, "user_ids") for user_id in request.user_ids]
        usages = await self._reporting.usages_of(wanted)
        return quota_pb2.BatchGetUsageResponse(usages=map(_usage, usages))

    async def ListDailyUsage(
        self, request: quota_pb2.ListDailyUsageRequest, context: Context
    ) -> quota_pb2.ListDailyUsageResponse:
        days, last = await self._reporting.days(
            optional_id(request.user_id, "user_id"),
            day(request.first_date, "first_date"),
            day(request.last_date, "last_date"),
            _after(request.page_token),
            request.page_size,
        )
        return quota_pb2.ListDailyUsageResponse(
            days=map(_daily_usage, days),
            next_page_token="" if last is None else _SEPARATOR.join(map(str, last)),
        )

    async def ReconcileUser(
        self, request_iterator: AsyncIterator[quota_pb2.ReconcileUserRequest], context: Context
    ) -> quota_pb2.ReconcileUserResponse:
        first = await anext(aiter(request_iterator), None)
        if first is None:
            raise InvalidArgument("Say whom to count.", field="user_id")
        if not first.HasField("list_time"):
            raise InvalidArgument("Say when the listing began.", field="list_time")
        counted, repaired = await self._recounting.recount(
            parse_id(first.user_id, "user_id"),
            _parts(first, request_iterator),
            moment(first.list_time, "list_time"),
            repair=first.repair,
        )
        return quota_pb2.ReconcileUserResponse(recount=_recount(counted, repaired))


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
    message = quota_pb2.Usage(
        quota=_quota(usage.quota),
        limit_bytes=usage.limit_bytes,
        credits=credits_message(usage.credits),
    )
    if usage.update_time is not None:
        message.update_time.FromDatetime(usage.update_time)
    return message


def _after(page_token: str) -> tuple[date, UUID] | None:
    if not page_token:
        return None
    text, _, user_id = page_token.partition(_SEPARATOR)
    return day(text, "page_token"), parse_id(user_id, "page_token")


def _daily_usage(usage: DailyUsage) -> quota_pb2.DailyUsage:
    return quota_pb2.DailyUsage(
        user_id=str(usage.user_id),
        date=usage.day.isoformat(),
        run_count=usage.runs,
        kept_count=usage.kept,
        delivered_count=usage.delivered,
        failed_count=usage.failed,
        kept_bytes=usage.kept_bytes,
        spent_credits=usage.spent_credits,
    )


async def _parts(
    first: quota_pb2.ReconcileUserRequest, rest: AsyncIterator[quota_pb2.ReconcileUserRequest]
) -> AsyncIterator[Sequence[RunBytes]]:
    yield _run_bytes(first)
    async for request in rest:
        yield _run_bytes(request)


def _run_bytes(request: quota_pb2.ReconcileUserRequest) -> Sequence[RunBytes]:
    if len(request.runs) > _MOST_RUNS_IN_A_MESSAGE:
        raise InvalidArgument("Too many runs in one message.", field="runs")
    return [
        RunBytes(parse_id(run.generation_id, "runs.generation_id"), run.run, run.bytes)
        for run in request.runs
    ]


def _recount(counted: Recount, repaired: bool) -> quota_pb2.Recount:
    return quota_pb2.Recount(
        user_id=str(counted.user_id),
        drifted=counted.has_drifted,
        repaired=repaired,
        recorded_used_bytes=counted.recorded_used,
        counted_used_bytes=counted.counted_used,
        unaccounted_bytes=counted.unaccounted,
        recorded_reserved_bytes=counted.recorded_reserved,
        counted_reserved_bytes=counted.counted_reserved,
        recorded_balance=counted.recorded_balance,
        ledger_balance=counted.counted_balance,
        recorded_held=counted.recorded_held,
        ledger_held=counted.counted_held,
        open_holds=counted.open_holds,
        recorded_spent=counted.recorded_spent,
        ledger_spent=counted.counted_spent,
        runs=[
            quota_pb2.RunDrift(
                generation_id=str(run.generation_id),
                run=run.number,
                recorded_bytes=run.recorded_bytes,
                stored_bytes=run.stored_bytes,
            )
            for run in counted.runs[:_MOST_RUNS_ANSWERED]
        ],
        run_count=len(counted.runs),
    )

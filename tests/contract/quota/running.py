"""A real quota server on a real database, and callers with real tokens."""

from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from uuid import UUID

import grpc

from reelgate.common.v1.run_pb2 import Run
from reelgate.quota.v1 import credit_pb2, credit_pb2_grpc, quota_pb2, quota_pb2_grpc
from services.kernel.errors import ReelgateError
from services.kernel.grpc_server import make_server, serving
from services.kernel.ids import new_id
from services.kernel.postgres import open_pool
from services.kernel.runtime import background
from services.kernel.status import rpc_errors
from services.kernel.tokens import Signer, Verifier
from services.quota.books import Books
from services.quota.servers import credits as credit_servicer
from services.quota.servers import quotas as quota_servicer

KEPT = quota_pb2.RUN_OUTCOME_KEPT
NOT_KEPT = quota_pb2.RUN_OUTCOME_NOT_KEPT
MEBIBYTE = 1024 * 1024


@dataclass(frozen=True)
class Keys:
    """The key that signs tokens and the file that lets servers check them."""

    signer: Signer
    jwks_file: Path


class Caller:
    """Somebody who calls the quota service with a token of his own. Failures are raised as ReelgateError."""

    def __init__(self, channel: grpc.aio.Channel, token: str | None) -> None:
        self._stub = quota_pb2_grpc.QuotaServiceStub(channel)
        self._credits = credit_pb2_grpc.CreditServiceStub(channel)
        self.metadata = (("authorization", f"Bearer {token}"),) if token else ()

    async def get(self, user: UUID | str = "") -> quota_pb2.Quota:
        with rpc_errors():
            request = quota_pb2.GetQuotaRequest(user_id=str(user))
            return (await self._stub.GetQuota(request, metadata=self.metadata)).quota

    async def admit(
        self, run: Run, user: UUID | str, reserve: int, price: int = 0
    ) -> quota_pb2.AdmitResponse:
        with rpc_errors():
            request = quota_pb2.AdmitRequest(
                run=run, user_id=str(user), reserve_bytes=reserve, price_credits=price
            )
            return await self._stub.Admit(request, metadata=self.metadata)

    async def save(
        self, run: Run, user: UUID | str, reserve: int, price: int = 0
    ) -> quota_pb2.AdmitResponse:
        with rpc_errors():
            request = quota_pb2.AdmitRequest(
                run=run, user_id=str(user), reserve_bytes=reserve, price_credits=price, save=True
            )
            return await self._stub.Admit(request, metadata=self.metadata)

    async def settle(
        self, run: Run, stored: int, outcome: quota_pb2.RunOutcome.ValueType = KEPT
    ) -> quota_pb2.Quota:
        with rpc_errors():
            request = quota_pb2.SettleRequest(run=run, stored_bytes=stored, outcome=outcome)
            return (await self._stub.Settle(request, metadata=self.metadata)).quota

    async def release(self, run: Run, user: UUID | str = "") -> quota_pb2.Quota:
        with rpc_errors():
            request = quota_pb2.ReleaseRequest(run=run, user_id=str(user))
            return (await self._stub.Release(request, metadata=self.metadata)).quota

    async def set_subject(self, user: UUID | str, group: UUID | str, version: int) -> None:
        with rpc_errors():
            request = quota_pb2.SetSubjectRequest(
                user_id=str(user), group_id=str(group), version=version
            )
            await self._stub.SetSubject(request, metadata=self.metadata)

    async def set_limits(self, request: quota_pb2.SetLimitsRequest) -> None:
        with rpc_errors():
            await self._stub.SetLimits(request, metadata=self.metadata)

    async def limit_user(self, user: UUID, quota: int) -> None:
        await self.set_limits(quota_pb2.SetLimitsRequest(user_id=str(user), quota_bytes=quota))

    async def limit_group(self, group: UUID, quota: int) -> None:
        await self.set_limits(quota_pb2.SetLimitsRequest(group_id=str(group), quota_bytes=quota))

    async def limit_default(self, quota: int) -> None:
        await self.set_limits(quota_pb2.SetLimitsRequest(default=True, quota_bytes=quota))

    async def list_usage(
        self, page_size: int = 0, page_token: str = ""
    ) -> quota_pb2.ListUsageResponse:
        with rpc_errors():
            request = quota_pb2.ListUsageRequest(page_size=page_size, page_token=page_token)
            return await self._stub.ListUsage(request, metadata=self.metadata)

    async def limits(self) -> quota_pb2.ListLimitsResponse:
        with rpc_errors():
            request = quota_pb2.ListLimitsRequest()
            return await self._stub.ListLimits(request, metadata=self.metadata)

    async def usages_of(self, *users: UUID | str) -> list[quota_pb2.Usage]:
        with rpc_errors():
            request = quota_pb2.BatchGetUsageRequest(user_ids=map(str, users))
            return list((await self._stub.BatchGetUsage(request, metadata=self.metadata)).usages)

    async def days(
        self,
        first: date | str,
        last: date | str,
        user: UUID | str = "",
        page_size: int = 0,
        page_token: str = "",
    ) -> quota_pb2.ListDailyUsageResponse:
        with rpc_errors():
            request = quota_pb2.ListDailyUsageRequest(
                user_id=str(user),
                first_date=str(first),
                last_date=str(last),
                page_size=page_size,
                page_token=page_token,
            )
            return await self._stub.ListDailyUsage(request, metadata=self.metadata)

    async def reconcile(self, *requests: quota_pb2.ReconcileUserRequest) -> quota_pb2.Recount:
        with rpc_errors():
            call = self._stub.ReconcileUser(iter(requests), metadata=self.metadata)
            return (await call).recount

    async def credits(self, user: UUID | str = "") -> credit_pb2.Credits:
        with rpc_errors():
            request = credit_pb2.GetCreditsRequest(user_id=str(user))
            return (await self._credits.GetCredits(request, metadata=self.metadata)).credits

    async def grant(
        self,
        user: UUID | str,
        amount: int,
        reason: str = "for the test",
        request_id: UUID | str | None = None,
    ) -> credit_pb2.Credits:
        with rpc_errors():
            request = credit_pb2.GrantCreditsRequest(
                user_id=str(user),
                amount=amount,
                reason=reason,
                request_id=str(new_id() if request_id is None else request_id),
            )
            return (await self._credits.GrantCredits(request, metadata=self.metadata)).credits

    async def transactions(
        self, user: UUID | str = "", page_size: int = 0, page_token: str = ""
    ) -> credit_pb2.ListTransactionsResponse:
        with rpc_errors():
            request = credit_pb2.ListTransactionsRequest(
                user_id=str(user), page_size=page_size, page_token=page_token
            )
            return await self._credits.ListTransactions(request, metadata=self.metadata)

    async def hold(
        self, request_id: UUID | str, user: UUID | str, amount: int, seconds: float = 60
    ) -> credit_pb2.HoldCreditsResponse:
        with rpc_errors():
            request = credit_pb2.HoldCreditsRequest(
                request_id=str(request_id), user_id=str(user), credits=amount
            )
            request.ttl.FromTimedelta(timedelta(seconds=seconds))
            return await self._credits.HoldCredits(request, metadata=self.metadata)

    async def capture(self, request_id: UUID | str) -> credit_pb2.Credits:
        with rpc_errors():
            request = credit_pb2.CaptureHoldRequest(request_id=str(request_id))
            return (await self._credits.CaptureHold(request, metadata=self.metadata)).credits

    async def release_hold(self, request_id: UUID | str) -> credit_pb2.Credits:
        with rpc_errors():
            request = credit_pb2.ReleaseHoldRequest(request_id=str(request_id))
            return (await self._credits.ReleaseHold(request, metadata=self.metadata)).credits

    async def set_prices(self, *prices: credit_pb2.Price) -> None:
        with rpc_errors():
            request = credit_pb2.SetPricesRequest(prices=prices)
            await self._credits.SetPrices(request, metadata=self.metadata)

    async def prices(self) -> list[credit_pb2.Price]:
        with rpc_errors():
            request = credit_pb2.ListPricesRequest()
            return list((await self._credits.ListPrices(request, metadata=self.metadata)).prices)

    async def quote(self, model: str, seconds: int = 0, count: int = 0) -> int:
        with rpc_errors():
            request = credit_pb2.QuoteRequest(model=model, duration_seconds=seconds, count=count)
            return (await self._credits.Quote(request, metadata=self.metadata)).credits


class Callers:
    """Everybody who may call one server."""

    def __init__(self, channel: grpc.aio.Channel, signer: Signer) -> None:
        self._channel = channel
        self._signer = signer
        self.admin = self.person(new_id(), role="admin")
        self.stranger = Caller(channel, None)

    def bearer(self, token: str) -> Caller:
        """Whoever holds this token."""
        return Caller(self._channel, token)

    def person(self, user: UUID, role: str = "user") -> Caller:
        """A user with his access token."""
        return self.bearer(self._sign(str(user), role=role))

    def gateway_for(self, user: UUID | str, role: str = "user") -> Caller:
        """The gateway acting for a user."""
        return self.bearer(self._sign(str(user), role=role, actor="gateway"))

    def _sign(self, subject: str, *, role: str, actor: str = "") -> str:
        return self._signer.sign(
            subject, audience=["quota"], lifetime_seconds=300, role=role, actor=actor
        )


async def verdict(call: Awaitable[object]) -> str:
    """Either "ok" or the reason of the refusal."""
    try:
        await call
    except ReelgateError as error:
        return error.reason
    return "ok"


def new_run(number: int = 0, lease: int = 0) -> Run:
    """A run of a new generation."""
    return Run(generation_id=str(new_id()), number=number, lease_token=lease)


def leased(run: Run, token: int) -> Run:
    """The same run in the hands of the worker with this lease token."""
    return Run(generation_id=run.generation_id, number=run.number, lease_token=token)


@asynccontextmanager
async def quota_server(
    database: str,
    keys: Keys,
    *,
    default_bytes: int = 0,
    new_user_credits: int = 1000,
    pool_size: int = 4,
) -> AsyncIterator[Callers]:
    """Serves a database that is up to date on a free port, for the length of the block."""
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(open_pool(database, min_size=1, max_size=pool_size))
        work = await stack.enter_async_context(background())
        server = make_server(Verifier(keys.jwks_file, "quota"))
        books = Books.on(pool, work, default_bytes, new_user_credits)
        names = (*quota_servicer.add_to(server, books), *credit_servicer.add_to(server, books))
        port = await stack.enter_async_context(
            serving(server, "127.0.0.1:0", names, drain_seconds=1)
        )
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))
        yield Callers(channel, keys.signer)

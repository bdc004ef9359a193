"""The quota service's CreditService: balances, the ledger, prices."""

from collections.abc import Sequence

import grpc

from reelgate.quota.v1 import credit_pb2, credit_pb2_grpc
from services.frontend_bff.clients import quota_records
from services.frontend_bff.schemas.quota_answers import Credits, Price, TransactionPage
from services.frontend_bff.schemas.quota_requests import NewPrice
from services.kernel.status import rpc_errors


class CreditsClient:
    """Credits and prices. Every method raises what the quota service raised."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: credit_pb2_grpc.CreditServiceAsyncStub = credit_pb2_grpc.CreditServiceStub(
            channel
        )

    async def get(self) -> Credits:
        """The caller's."""
        with rpc_errors():
            answer = await self._stub.GetCredits(credit_pb2.GetCreditsRequest())
        return quota_records.balance(answer.credits)

    async def transactions(self, page_size: int, page_token: str) -> TransactionPage:
        """A page of the caller's ledger, newest first."""
        request = credit_pb2.ListTransactionsRequest(page_size=page_size, page_token=page_token)
        with rpc_errors():
            page = await self._stub.ListTransactions(request)
        return {
            "items": [quota_records.transaction(one) for one in page.transactions],
            "next_page_token": page.next_page_token or None,
        }

    async def grant(self, user_id: str, amount: int, reason: str, request_id: str) -> Credits:
        """Gives credits to a user, or takes them back when negative; what he has after it."""
        request = credit_pb2.GrantCreditsRequest(
            user_id=user_id, amount=amount, reason=reason, request_id=request_id
        )
        with rpc_errors():
            return quota_records.balance((await self._stub.GrantCredits(request)).credits)

    async def prices(self) -> list[Price]:
        """Those in force and those to come, by model, duration and date."""
        with rpc_errors():
            answer = await self._stub.ListPrices(credit_pb2.ListPricesRequest())
        return [quota_records.price(one) for one in answer.prices]

    async def set_prices(self, prices: Sequence[NewPrice]) -> None:
        """Adds them, all or none."""
        request = credit_pb2.SetPricesRequest(prices=map(_message, prices))
        with rpc_errors():
            await self._stub.SetPrices(request)


def _message(price: NewPrice) -> credit_pb2.Price:
    message = credit_pb2.Price(
        model=price.model, duration_seconds=price.duration_seconds, credits=price.credits
    )
    if price.effective_at is not None:
        message.effective_time.FromDatetime(price.effective_at)
    return message

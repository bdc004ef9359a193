"""reelgate.quota.v1.CreditService."""
# What the methods mean is said in the contract.
# ruff: noqa: D102

from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

import grpc
from google.protobuf.duration_pb2 import Duration

from reelgate.quota.v1 import credit_pb2, credit_pb2_grpc
from services.kernel.errors import InvalidArgument
from services.kernel.ids import parse_id
from services.quota.books import Books
from services.quota.credits import Kind, Price, Transaction
from services.quota.ledger import Ledger
from services.quota.pricing import Pricing
from services.quota.servers.convert import Context, credits_message, moment, optional_id

_KIND: Final = {
    Kind.GRANT: credit_pb2.TRANSACTION_KIND_GRANT,
    Kind.CORRECTION: credit_pb2.TRANSACTION_KIND_CORRECTION,
    Kind.HOLD: credit_pb2.TRANSACTION_KIND_HOLD,
    Kind.CAPTURE: credit_pb2.TRANSACTION_KIND_CAPTURE,
    Kind.REFUND: credit_pb2.TRANSACTION_KIND_REFUND,
}
_LARGEST_NUMBER: Final = 2**63 - 1
_LONGEST_NUMBER: Final = 20
_DAY_SECONDS: Final = 24 * 3600


def add_to(server: grpc.aio.Server, books: Books) -> Sequence[str]:
    """Adds what credits offer; returns its name."""
    servicer = CreditServicer(books.ledger, books.pricing)
    credit_pb2_grpc.add_CreditServiceServicer_to_server(servicer, server)
    return ("reelgate.quota.v1.CreditService",)


class CreditServicer(credit_pb2_grpc.CreditServiceServicer):
    """reelgate.quota.v1.CreditService."""

    def __init__(self, ledger: Ledger, pricing: Pricing) -> None:
        self._ledger = ledger
        self._pricing = pricing

    async def GetCredits(
        self, request: credit_pb2.GetCreditsRequest, context: Context
    ) -> credit_pb2.GetCreditsResponse:
        credits_ = await self._ledger.get(optional_id(request.user_id, "user_id"))
        return credit_pb2.GetCreditsResponse(credits=credits_message(credits_))

    async def GrantCredits(
        self, request: credit_pb2.GrantCreditsRequest, context: Context
    ) -> credit_pb2.GrantCreditsResponse:
        credits_ = await self._ledger.grant(
            parse_id(request.user_id, "user_id"),
            request.amount,
            request.reason,
            parse_id(request.request_id, "request_id"),
        )
        return credit_pb2.GrantCreditsResponse(credits=credits_message(credits_))

    async def SetPrices(
        self, request: credit_pb2.SetPricesRequest, context: Context
    ) -> credit_pb2.SetPricesResponse:
        await self._pricing.set([_wanted_price(price) for price in request.prices])
        return credit_pb2.SetPricesResponse()

    async def ListPrices(
        self, request: credit_pb2.ListPricesRequest, context: Context
    ) -> credit_pb2.ListPricesResponse:
        return credit_pb2.ListPricesResponse(prices=map(_price, await self._pricing.list()))

    async def Quote(
        self, request: credit_pb2.QuoteRequest, context: Context
    ) -> credit_pb2.QuoteResponse:
        credits_ = await self._pricing.quote(request.model, request.duration_seconds, request.count)
        return credit_pb2.QuoteResponse(credits=credits_)

    async def ListTransactions(
        self, request: credit_pb2.ListTransactionsRequest, context: Context
    ) -> credit_pb2.ListTransactionsResponse:
        entries, last = await self._ledger.transactions(
            optional_id(request.user_id, "user_id"), _before(request.page_token), request.page_size
        )
        return credit_pb2.ListTransactionsResponse(
            transactions=map(_transaction, entries),
            next_page_token="" if last is None else str(last),
        )

    async def HoldCredits(
        self, request: credit_pb2.HoldCreditsRequest, context: Context
    ) -> credit_pb2.HoldCreditsResponse:
        credits_, replayed = await self._ledger.hold(
            parse_id(request.request_id, "request_id"),
            parse_id(request.user_id, "user_id"),
            request.credits,
            _life(request.ttl),
        )
        return credit_pb2.HoldCreditsResponse(credits=credits_message(credits_), replayed=replayed)

    async def CaptureHold(
        self, request: credit_pb2.CaptureHoldRequest, context: Context
    ) -> credit_pb2.CaptureHoldResponse:
        credits_ = await self._ledger.capture(parse_id(request.request_id, "request_id"))
        return credit_pb2.CaptureHoldResponse(credits=credits_message(credits_))

    async def ReleaseHold(
        self, request: credit_pb2.ReleaseHoldRequest, context: Context
    ) -> credit_pb2.ReleaseHoldResponse:
        credits_ = await self._ledger.release(parse_id(request.request_id, "request_id"))
        return credit_pb2.ReleaseHoldResponse(credits=credits_message(credits_))


def _before(page_token: str) -> int | None:
    if not page_token:
        return None
    # No longer than a number may be: Python refuses to read thousands of digits.
    is_number = len(page_token) < _LONGEST_NUMBER and page_token.isascii() and page_token.isdigit()
    if is_number and int(page_token) <= _LARGEST_NUMBER:
        return int(page_token)
    raise InvalidArgument("page_token is from no page.", field="page_token")


def _life(message: Duration) -> timedelta:
    # What lies outside of these can not be meant, and may be more than Python counts.
    seconds = min(max(message.seconds, -_DAY_SECONDS), 2 * _DAY_SECONDS)
    return timedelta(seconds=seconds, microseconds=message.nanos // 1000)


def _wanted_price(message: credit_pb2.Price) -> Price:
    begins = (
        moment(message.effective_time, "prices.effective_time")
        if message.HasField("effective_time")
        else None
    )
    return Price(message.model, message.duration_seconds, message.credits, begins)


def _price(price: Price) -> credit_pb2.Price:
    message = credit_pb2.Price(
        model=price.model, duration_seconds=price.duration_seconds, credits=price.credits
    )
    if price.effective_time is not None:
        message.effective_time.FromDatetime(price.effective_time)
    return message


def _transaction(entry: Transaction) -> credit_pb2.Transaction:
    message = credit_pb2.Transaction(
        id=f"{entry.user_id}:{entry.number}",
        kind=_KIND[entry.kind],
        amount=entry.balance_after - entry.balance_before,
        balance_before=entry.balance_before,
        balance_after=entry.balance_after,
        held_amount=entry.held_after - entry.held_before,
        held_before=entry.held_before,
        held_after=entry.held_after,
        reason=entry.reason,
        generation_id=_text(entry.generation_id),
        run=entry.run,
        request_id=_text(entry.request_id),
        actor=entry.actor,
    )
    message.create_time.FromDatetime(entry.create_time)
    return message


def _text(id_: UUID | None) -> str:
    return "" if id_ is None else str(id_)

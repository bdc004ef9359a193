"""What is sent about bytes and credits."""

from datetime import date, datetime
from typing import Annotated

from pydantic import AfterValidator, Field

from services.frontend_bff.schemas.requests import Body, Texts
from services.frontend_bff.schemas.values import (
    LARGEST_AMOUNT,
    Id,
    QuotaLimit,
    Text,
    day,
    decimal,
    moment,
)


def _not_nothing(amount: int) -> int:
    if amount == 0:
        raise ValueError("Input should not be 0")
    return amount


class PageQuery(Texts):
    """Which page."""

    page_size: Annotated[int, Field(ge=1, le=100), decimal] = 20
    page_token: Annotated[Text, Field(max_length=1024, description="From the page before")] = ""


class UsageQuery(PageQuery):
    """Which days: at most 366."""

    first_date: Annotated[
        date | None, day, Field(description="Day in UTC; absent: 29 days before the last one")
    ] = None
    last_date: Annotated[
        date | None, day, Field(description="Day in UTC, itself included; absent: today")
    ] = None


class AllUsageQuery(UsageQuery):
    """Which days of whom."""

    user_id: Annotated[Id | None, Field(description="Absent: everybody")] = None


class DefaultQuotaForm(Body):
    """A limit for everybody for whom none is set."""

    quota_limit_bytes: Annotated[
        QuotaLimit, Field(description="Bytes; 0: that of the installation again, -1: no limit")
    ]


class Grant(Body):
    """Credits that are given or taken back."""

    amount: Annotated[
        int,
        Field(
            ge=-LARGEST_AMOUNT,
            le=LARGEST_AMOUNT,
            description="Negative: taken back; not 0",
            json_schema_extra={"not": {"const": 0}},
        ),
        AfterValidator(_not_nothing),
    ]
    reason: Annotated[Text, Field(min_length=1, max_length=500, description="For the ledger")]
    request_id: Annotated[Id | None, Field(description="Instead of the header Idempotency-Key")] = (
        None
    )


class GrantHeaders(Texts):
    """Makes repeats harmless."""

    key: Annotated[
        Id | None,
        Field(
            alias="Idempotency-Key",
            description="A UUID: the same one moves credits once. It is the entry's request_id in the ledger",
        ),
    ] = None


class NewPrice(Body):
    """What one medium is to cost."""

    model: Annotated[Text, Field(min_length=1, max_length=200, description="Id in the catalogue")]
    duration_seconds: Annotated[
        int, Field(ge=0, le=86_400, description="0: images, and any duration")
    ] = 0
    credits: Annotated[int, Field(ge=0, le=LARGEST_AMOUNT)]
    effective_at: Annotated[
        Annotated[datetime, moment] | None,
        Field(description="From when on; absent: from now on"),
    ] = None


class PricesForm(Body):
    """Prices to be added to those there are."""

    prices: Annotated[list[NewPrice], Field(min_length=1, max_length=1000)]

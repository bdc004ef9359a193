"""What is read about bytes and credits: balances, the ledger, days, limits, prices."""

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from services.frontend_bff.schemas.answers import Quota
from services.frontend_bff.schemas.values import Date, Id, QuotaLimit, Timestamp, TransactionKind


class Credits(TypedDict):
    """A user's credits at one moment; total_earned = balance + held + total_spent."""

    balance: Annotated[int, Field(description="What can be spent")]
    held: Annotated[int, Field(description="Set aside for works that have not ended")]
    total_earned: Annotated[int, Field(description="All grants, less what corrections took back")]
    total_spent: int


class Transaction(TypedDict):
    """One entry of the ledger, which is never changed."""

    id: Annotated[str, Field(description="The user's id and a number among his own entries")]
    kind: TransactionKind
    amount: Annotated[
        int, Field(description="Change of the balance; 0 for a capture, which spends what is held")
    ]
    balance_before: int
    balance_after: int
    held_amount: Annotated[int, Field(description="Change of what is held")]
    held_before: int
    held_after: int
    reason: Annotated[str, Field(description="For a person; empty in the course of a work")]
    generation_id: Id | None
    run: Annotated[int, Field(description="Run of the generation, from 0")]
    request_id: Annotated[Id | None, Field(description="Of a grant, or of a call that was no run")]
    actor: Annotated[
        str | None, Field(description="The administrator's id, or the service that decided it")
    ]
    created_at: Timestamp


class TransactionPage(TypedDict):
    """A page of the ledger, newest first."""

    items: list[Transaction]
    next_page_token: Annotated[str | None, Field(description="null on the last page")]


class DailyUsage(TypedDict):
    """What became of the runs of one user that were admitted on one day, as it is now."""

    date: Annotated[Date, Field(description="In UTC")]
    user_id: Id
    run_count: int
    kept_count: Annotated[int, Field(description="Kept, and not deleted since")]
    delivered_count: Annotated[
        int, Field(description="Delivered and not kept, or deleted since they were")
    ]
    failed_count: Annotated[int, Field(description="Ended without a result")]
    kept_bytes: int
    spent_credits: int


class UsagePage(TypedDict):
    """A page of days, by date, then by user; days without a run are left out."""

    first_date: Annotated[Date, Field(description="As asked for, or what was meant without it")]
    last_date: Annotated[Date, Field(description="The same")]
    items: list[DailyUsage]
    next_page_token: Annotated[str | None, Field(description="null on the last page")]


class Holding(TypedDict):
    """What a user has and what he may have."""

    quota_limit_bytes: Annotated[
        QuotaLimit, Field(description="Set for this very user; 0: not set, -1: no limit")
    ]
    quota: Annotated[Quota, Field(description="What is in force for him")]
    credits: Credits


class DefaultQuota(TypedDict):
    """The limit of everybody for whom, and for whose group, none is set."""

    quota_limit_bytes: Annotated[
        QuotaLimit,
        Field(description="What was set here, else the installation's; 0: none, -1: no limit"),
    ]


class Price(TypedDict):
    """What one medium costs."""

    model: str
    duration_seconds: Annotated[int, Field(description="0: images, and any duration")]
    credits: int
    effective_at: Annotated[Timestamp | None, Field(description="From when on; null: not said")]

"""Messages of the quota service → the JSON of quotas, credits and days."""

from typing import Final, cast

from reelgate.quota.v1 import credit_pb2, quota_pb2
from services.frontend_bff.schemas.answers import Quota
from services.frontend_bff.schemas.quota_answers import (
    Credits,
    DailyUsage,
    Holding,
    Price,
    Transaction,
)
from services.frontend_bff.schemas.values import QuotaSource, TransactionKind

_SOURCE: Final = {
    number: cast("QuotaSource", name.removeprefix("QUOTA_SOURCE_").lower())
    for name, number in quota_pb2.QuotaSource.items()
}
_KIND: Final = {
    number: cast("TransactionKind", name.removeprefix("TRANSACTION_KIND_").lower())
    for name, number in credit_pb2.TransactionKind.items()
}


def quota(message: quota_pb2.Quota) -> Quota:
    """Figures of bytes, and where the limit comes from."""
    return {
        "quota_bytes": message.quota_bytes,
        "used_bytes": message.used_bytes,
        "reserved_bytes": message.reserved_bytes,
        "available_bytes": message.available_bytes,
        "source": _SOURCE[message.source],
    }


def balance(message: credit_pb2.Credits) -> Credits:
    """Figures of credits."""
    return {
        "balance": message.balance,
        "held": message.held,
        "total_earned": message.total_earned,
        "total_spent": message.total_spent,
    }


def holding(message: quota_pb2.Usage) -> Holding:
    """What a user has and may have."""
    return {
        "quota_limit_bytes": message.limit_bytes,
        "quota": quota(message.quota),
        "credits": balance(message.credits),
    }


def daily_usage(message: quota_pb2.DailyUsage) -> DailyUsage:
    """One user's day."""
    return {
        "date": message.date,
        "user_id": message.user_id,
        "run_count": message.run_count,
        "kept_count": message.kept_count,
        "delivered_count": message.delivered_count,
        "failed_count": message.failed_count,
        "kept_bytes": message.kept_bytes,
        "spent_credits": message.spent_credits,
    }


def transaction(message: credit_pb2.Transaction) -> Transaction:
    """One entry of the ledger."""
    return {
        "id": message.id,
        "kind": _KIND[message.kind],
        "amount": message.amount,
        "balance_before": message.balance_before,
        "balance_after": message.balance_after,
        "held_amount": message.held_amount,
        "held_before": message.held_before,
        "held_after": message.held_after,
        "reason": message.reason,
        "generation_id": message.generation_id or None,
        "run": message.run,
        "request_id": message.request_id or None,
        "actor": message.actor or None,
        "created_at": message.create_time.ToJsonString(),
    }


def price(message: credit_pb2.Price) -> Price:
    """What one medium costs."""
    has_begin = message.HasField("effective_time")
    return {
        "model": message.model,
        "duration_seconds": message.duration_seconds,
        "credits": message.credits,
        "effective_at": message.effective_time.ToJsonString() if has_begin else None,
    }

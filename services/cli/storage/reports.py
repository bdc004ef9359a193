"""`reelgate storage uploads|costs`: what was kept, and what that costs (E11, E14)."""

import argparse
from datetime import UTC, datetime
from typing import Final

from reelgate.storage.v1 import storage_pb2
from services.cli import figures
from services.cli.storage.session import Session, add_command
from services.kernel.status import rpc_errors

_LARGEST_PAGE: Final = 100
_MOST_UPLOADS: Final = 10_000
_TIER: Final = {storage_pb2.TIER_S3: "s3", storage_pb2.TIER_LOCAL: "local"}


def register(acts: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the commands that report."""
    uploads = add_command(acts, "uploads", "show the log of uploads, newest first", _uploads)
    uploads.add_argument(
        "--last",
        type=_count,
        default=20,
        metavar="N",
        help=f"how many (20; at most {_MOST_UPLOADS:,})",
    )
    costs = add_command(
        acts, "costs", "show what is stored and moved, and what that costs a month", _costs
    )
    costs.add_argument(
        "--since",
        type=figures.parse_moment,
        metavar="TIME",
        help="from when on, as 2026-01-31 or 2026-01-31T12:00:00Z (the first of the month)",
    )
    costs.add_argument(
        "--until", type=figures.parse_moment, metavar="TIME", help="until when (now)"
    )


def _count(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= _MOST_UPLOADS):
        raise argparse.ArgumentTypeError(f"must be a number from 1 to {_MOST_UPLOADS}")
    return int(text)


async def _uploads(session: Session, arguments: argparse.Namespace) -> int:
    found: list[storage_pb2.UploadRecord] = []
    request = storage_pb2.ListUploadsRequest()
    while len(found) < arguments.last:
        request.page_size = min(_LARGEST_PAGE, arguments.last - len(found))
        with rpc_errors():
            page = await session.objects.ListUploads(request)
        found += page.uploads
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    if not found:
        session.screen.line("Nothing was uploaded yet.")
        return 0
    heads = ("when (UTC)", "source", "tier", "size", "took", "result", "object")
    session.screen.table(heads, [_row(one) for one in found], right="   >>")
    return 0


def _row(upload: storage_pb2.UploadRecord) -> tuple[str, ...]:
    return (
        figures.moment(upload.create_time.ToDatetime()),
        upload.source,
        _TIER.get(upload.tier, "-"),
        figures.size(upload.size_bytes),
        figures.seconds(upload.duration.ToMilliseconds() / 1000),
        upload.failure_reason.lower() or "kept",
        upload.object_id,
    )


async def _costs(session: Session, arguments: argparse.Namespace) -> int:
    until = arguments.until or datetime.now(UTC)
    since = arguments.since or until.astimezone(UTC).replace(day=1)
    request = storage_pb2.GetCostsRequest()
    request.start_time.FromDatetime(since)
    request.end_time.FromDatetime(until)
    with rpc_errors():
        costs = await session.objects.GetCosts(request)
    span = " to ".join(one.astimezone(UTC).date().isoformat() for one in (since, until))
    rows = [
        ("stored now", figures.size(costs.stored_bytes)),
        ("writes and lists (class A)", f"{costs.write_operations:,}"),
        ("reads (class B)", f"{costs.read_operations:,}"),
        ("sent out", figures.size(costs.egress_bytes)),
        ("a month at R2's list prices", figures.dollars(costs.r2_monthly_usd)),
        ("a month at S3's list prices", figures.dollars(costs.s3_monthly_usd)),
    ]
    session.screen.table(("costs", span), rows, right=" >")
    return 0

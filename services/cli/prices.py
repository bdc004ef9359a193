"""`reelgate credits prices|set-price`: what generations cost (G8)."""

import argparse
from datetime import UTC, datetime

import grpc

from reelgate.quota.v1 import credit_pb2, credit_pb2_grpc
from services.cli import figures
from services.cli.screen import Screen
from services.kernel.status import rpc_errors


async def show(quota: grpc.aio.Channel, screen: Screen, _arguments: argparse.Namespace) -> None:
    """The prices that are set; models without one cost what the catalogue says."""
    stub: credit_pb2_grpc.CreditServiceAsyncStub = credit_pb2_grpc.CreditServiceStub(quota)
    with rpc_errors():
        prices = (await stub.ListPrices(credit_pb2.ListPricesRequest())).prices
    if not prices:
        screen.line("No prices are set: every model costs what the catalogue says.")
        return
    now = datetime.now(UTC)
    rows: list[tuple[str, ...]] = []
    for price in prices:
        since = price.effective_time.ToDatetime(UTC)
        seconds = f"{price.duration_seconds} s" if price.duration_seconds else "any"
        when = figures.moment(since) if since > now else "in force"
        rows.append((price.model, seconds, f"{price.credits:,}", when))
    screen.table(("model", "duration", "credits", "from (UTC)"), rows, right=" >>")


async def set_one(quota: grpc.aio.Channel, screen: Screen, arguments: argparse.Namespace) -> None:
    """Sets one price, now or from a moment on."""
    price = credit_pb2.Price(
        model=arguments.model, duration_seconds=arguments.seconds, credits=arguments.credits
    )
    if arguments.since is not None:
        price.effective_time.FromDatetime(arguments.since)
    stub: credit_pb2_grpc.CreditServiceAsyncStub = credit_pb2_grpc.CreditServiceStub(quota)
    with rpc_errors():
        await stub.SetPrices(credit_pb2.SetPricesRequest(prices=[price]))
    when = "now" if arguments.since is None else f"{figures.moment(arguments.since)} UTC"
    screen.line(f"{arguments.model} costs {arguments.credits:,} credits from {when} on.")


def _seconds(text: str) -> int:
    if not (text.isdecimal() and int(text) <= 24 * 3600):
        raise argparse.ArgumentTypeError("must be whole seconds, at most a day")
    return int(text)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Those of `set_one`."""
    parser.add_argument("--model", required=True, help="its id in the catalogue")
    parser.add_argument(
        "--credits", required=True, type=figures.parse_count, help="credits for each medium"
    )
    parser.add_argument(
        "--seconds",
        type=_seconds,
        default=0,
        help="for videos of this duration only (any duration, and images)",
    )
    parser.add_argument(
        "--since",
        type=figures.parse_moment,
        metavar="TIME",
        help="from when on, as 2027-01-31T12:00:00Z (now)",
    )

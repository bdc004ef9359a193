"""`reelgate credits`: what a user has to spend, giving him more, and what generations cost (G8)."""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable
from uuid import uuid4

import grpc

from reelgate.quota.v1 import credit_pb2, credit_pb2_grpc
from services.cli import figures, prices
from services.cli.connection import NotReachable, as_administrator, service_as_administrator
from services.cli.people import find_user
from services.cli.screen import Screen
from services.cli.settings import CliSettings
from services.kernel.errors import ReelgateError
from services.kernel.settings import load
from services.kernel.status import rpc_errors

_Act = Callable[[grpc.aio.Channel, str, argparse.Namespace], Awaitable[credit_pb2.Credits]]
_ActOnPrices = Callable[[grpc.aio.Channel, Screen, argparse.Namespace], Awaitable[None]]


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `credits` to the command line."""
    credits_ = commands.add_parser("credits", help="show what a user can spend, or grant more")
    acts = credits_.add_subparsers(title="commands", metavar="COMMAND", required=True)

    show = acts.add_parser("show", help="show a user's credits")
    show.set_defaults(run=lambda arguments: _run(arguments, _show))

    grant = acts.add_parser(
        "grant", help="give a user credits, or take them back with a negative amount"
    )
    grant.add_argument(
        "--amount", required=True, type=figures.parse_count, help="credits; negative takes back"
    )
    grant.add_argument("--reason", required=True, help="for the ledger")
    grant.add_argument(
        "--request-id",
        default="",
        metavar="UUID",
        help="repeat a grant safely: the same id and values change nothing the second time",
    )
    grant.set_defaults(run=lambda arguments: _run(arguments, _grant))
    for parser in (show, grant):
        parser.add_argument("--email", required=True, help="the e-mail address of the user")

    listed = acts.add_parser("prices", help="show the prices that are set")
    listed.set_defaults(run=lambda arguments: _run_prices(arguments, prices.show))
    price = acts.add_parser("set-price", help="set what a model costs, in force within 5 s")
    prices.add_arguments(price)
    price.set_defaults(run=lambda arguments: _run_prices(arguments, prices.set_one))


def _run(arguments: argparse.Namespace, act: _Act) -> int:
    try:
        after = asyncio.run(_with_quota(load(CliSettings), arguments, act))
    except (NotReachable, ReelgateError) as error:
        print(f"reelgate: {error}", file=sys.stderr)
        return 1
    print(
        f"{arguments.email} has {after.balance} credits ({after.held} held by what is being made, "
        f"{after.total_earned} earned and {after.total_spent} spent in all)."
    )
    return 0


def _run_prices(arguments: argparse.Namespace, act: _ActOnPrices) -> int:
    async def run(settings: CliSettings) -> None:
        async with service_as_administrator(settings, "quota") as quota:
            await act(quota, Screen(sys.stdout, colours=not settings.no_color), arguments)

    try:
        asyncio.run(run(load(CliSettings)))
    except (NotReachable, ReelgateError) as error:
        print(f"reelgate: {error}", file=sys.stderr)
        return 1
    return 0


async def _with_quota(
    settings: CliSettings, arguments: argparse.Namespace, act: _Act
) -> credit_pb2.Credits:
    async with as_administrator(settings) as gateway:
        user = await find_user(gateway, arguments.email)
    async with service_as_administrator(settings, "quota") as quota:
        return await act(quota, user.id, arguments)


async def _show(
    quota: grpc.aio.Channel, user_id: str, _arguments: argparse.Namespace
) -> credit_pb2.Credits:
    stub: credit_pb2_grpc.CreditServiceAsyncStub = credit_pb2_grpc.CreditServiceStub(quota)
    with rpc_errors():
        return (await stub.GetCredits(credit_pb2.GetCreditsRequest(user_id=user_id))).credits


async def _grant(
    quota: grpc.aio.Channel, user_id: str, arguments: argparse.Namespace
) -> credit_pb2.Credits:
    stub: credit_pb2_grpc.CreditServiceAsyncStub = credit_pb2_grpc.CreditServiceStub(quota)
    request = credit_pb2.GrantCreditsRequest(
        user_id=user_id,
        amount=arguments.amount,
        reason=arguments.reason,
        request_id=arguments.request_id or str(uuid4()),
    )
    with rpc_errors():
        return (await stub.GrantCredits(request)).credits

"""`reelgate quota`: what users may keep (G1), and whether the books are right (G9)."""

import argparse
import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Final

import grpc

from reelgate.gateway.v1 import identity_pb2, identity_pb2_grpc
from reelgate.quota.v1 import quota_pb2, quota_pb2_grpc
from services.cli import figures, reconciling
from services.cli.connection import NotReachable, as_administrator, service_as_administrator
from services.cli.people import find_user
from services.cli.settings import CliSettings
from services.kernel.errors import NotFound, ReelgateError
from services.kernel.settings import load
from services.kernel.status import rpc_errors

_Act = Callable[[CliSettings, argparse.Namespace], Coroutine[Any, Any, int]]

_SOURCE: Final = {
    quota_pb2.QUOTA_SOURCE_USER: "set for this user",
    quota_pb2.QUOTA_SOURCE_GROUP: "set for the group",
    quota_pb2.QUOTA_SOURCE_DEFAULT: "the default",
}


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `quota` to the command line."""
    quota = commands.add_parser("quota", help="show and set byte quotas, and check the books")
    acts = quota.add_subparsers(title="commands", metavar="COMMAND", required=True)

    show = acts.add_parser("show", help="show what a user keeps and may keep")
    show.add_argument("--email", required=True, help="the e-mail address of the user")
    show.set_defaults(run=lambda arguments: _run(arguments, _show))

    limit = acts.add_parser(
        "set",
        help="set the limit of a user, of a group, or of everybody without one of his own",
        description="In force at once, also below what is used: then nothing more is admitted.",
    )
    whose = limit.add_mutually_exclusive_group(required=True)
    whose.add_argument("--email", help="the e-mail address of a user")
    whose.add_argument("--group", metavar="NAME", help="the name of a group")
    whose.add_argument("--default", action="store_true", help="everybody without another limit")
    limit.add_argument(
        "limit",
        type=_limit,
        metavar="LIMIT",
        help="500MB, 5GB, 2TiB, a number of bytes; `unlimited`; or `none` for no limit of its own",
    )
    limit.set_defaults(run=lambda arguments: _run(arguments, _set))

    reconcile = acts.add_parser(
        "reconcile",
        help="compare the books with what storage holds and with the ledger",
        description="Exits with 0 only when all books are right afterwards. The gateway compares them once a day by "
        "itself, and repairs nothing.",
    )
    reconcile.add_argument("--email", default="", help="only this user")
    reconcile.add_argument("--repair", action="store_true", help="put right what is off")
    reconcile.set_defaults(run=lambda arguments: _run(arguments, reconciling.reconcile))


def _limit(text: str) -> int:
    words = {"none": 0, "unlimited": -1}
    try:
        return words[text.lower()] if text.lower() in words else figures.parse_size(text)
    except ValueError:
        message = "must be a size like 500MB or 5GiB, `unlimited` or `none`"
        raise argparse.ArgumentTypeError(message) from None


def _run(arguments: argparse.Namespace, act: _Act) -> int:
    try:
        return asyncio.run(act(load(CliSettings), arguments))
    except (NotReachable, ReelgateError) as error:
        print(f"reelgate: {error}", file=sys.stderr)
        return 1


async def _show(settings: CliSettings, arguments: argparse.Namespace) -> int:
    async with as_administrator(settings) as gateway:
        user = await find_user(gateway, arguments.email)
    async with service_as_administrator(settings, "quota") as channel:
        stub: quota_pb2_grpc.QuotaServiceAsyncStub = quota_pb2_grpc.QuotaServiceStub(channel)
        with rpc_errors():
            answer = await stub.GetQuota(quota_pb2.GetQuotaRequest(user_id=user.id))
    quota = answer.quota
    may = (
        "without a limit"
        if quota.quota_bytes < 0
        else f"of {figures.size(quota.quota_bytes)} ({_SOURCE[quota.source]})"
    )
    print(
        f"{user.email} keeps {figures.size(quota.used_bytes)} {may}; "
        f"{figures.size(quota.reserved_bytes)} are reserved for what is being made."
    )
    return 0


async def _set(settings: CliSettings, arguments: argparse.Namespace) -> int:
    request = quota_pb2.SetLimitsRequest(quota_bytes=arguments.limit)
    if arguments.default:
        request.default = True
        whose = "everybody without another limit"
    else:
        async with as_administrator(settings) as gateway:
            if arguments.email:
                user = await find_user(gateway, arguments.email)
                request.user_id, whose = user.id, user.email
            else:
                group = await _find_group(gateway, arguments.group)
                request.group_id, whose = group.id, f"the group {group.name}"
    async with service_as_administrator(settings, "quota") as channel:
        stub: quota_pb2_grpc.QuotaServiceAsyncStub = quota_pb2_grpc.QuotaServiceStub(channel)
        with rpc_errors():
            await stub.SetLimits(request)
    said = {0: "no limit of its own", -1: "no limit at all"}.get(arguments.limit)
    print(f"For {whose}: {said or figures.size(arguments.limit)} from now on.")
    return 0


async def _find_group(gateway: grpc.aio.Channel, name: str) -> identity_pb2.Group:
    stub: identity_pb2_grpc.IdentityServiceAsyncStub = identity_pb2_grpc.IdentityServiceStub(
        gateway
    )
    with rpc_errors():
        groups = (await stub.ListGroups(identity_pb2.ListGroupsRequest())).groups
    for group in groups:
        if group.name == name:
            return group
    known = ", ".join(group.name for group in groups) or "none yet"
    raise NotFound(f"There is no group {name!r}. There are: {known}.")

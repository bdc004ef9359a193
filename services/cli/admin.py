"""`reelgate admin`: makes administrators and gives users new passwords."""

import argparse
import asyncio
import getpass
import sys
from collections.abc import Awaitable, Callable

import grpc

from reelgate.gateway.v1 import identity_pb2, identity_pb2_grpc
from services.cli.connection import NotReachable, as_administrator
from services.cli.people import find_user
from services.cli.settings import CliSettings
from services.kernel.errors import AlreadyExists, ReelgateError
from services.kernel.settings import load
from services.kernel.status import rpc_errors

_Act = Callable[[grpc.aio.Channel, str, str], Awaitable[str]]


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `admin` to the command line."""
    admin = commands.add_parser("admin", help="make an administrator, or set a user's password")
    acts = admin.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, act, what in (
        ("create", _create, "make an administrator"),
        ("reset-password", _reset_password, "give a user a new password, and end his sessions"),
    ):
        parser = acts.add_parser(
            name,
            help=what,
            description=f"{what.capitalize()}. Finds the gateway by $REELGATE_HOME/ready.json, or by "
            "REELGATE_GATEWAY_ADDRESS with REELGATE_EMAIL and REELGATE_PASSWORD of an administrator or, for the "
            "first one, REELGATE_GATEWAY_SIGNING_KEY_FILE.",
        )
        parser.add_argument("--email", required=True, help="the e-mail address of the user")
        parser.add_argument(
            "--password-stdin",
            action="store_true",
            help="read the new password from the first line of the standard input",
        )
        parser.set_defaults(run=lambda arguments, act=act: _run(arguments, act))


def _run(arguments: argparse.Namespace, act: _Act) -> int:
    try:
        password = _password(from_stdin=arguments.password_stdin)
        done = asyncio.run(_with_gateway(load(CliSettings), act, arguments.email, password))
    except (NotReachable, ReelgateError) as error:
        print(f"reelgate: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, EOFError):
        print("\nreelgate: nothing was changed", file=sys.stderr)
        return 1
    print(done)
    return 0


def _password(*, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        message = (
            "There is no terminal to ask for the password at: pipe it in with --password-stdin."
        )
        raise NotReachable(message)
    password = getpass.getpass("New password: ")
    if getpass.getpass("The same again: ") != password:
        raise NotReachable("These were two different passwords; nothing was changed.")
    return password


async def _with_gateway(settings: CliSettings, act: _Act, email: str, password: str) -> str:
    async with as_administrator(settings) as channel:
        return await act(channel, email, password)


async def _create(channel: grpc.aio.Channel, email: str, password: str) -> str:
    stub = identity_pb2_grpc.IdentityServiceStub(channel)
    request = identity_pb2.CreateUserRequest(
        email=email, password=password, role=identity_pb2.ROLE_ADMIN
    )
    try:
        with rpc_errors():
            user = (await stub.CreateUser(request)).user
    except AlreadyExists as error:
        raise AlreadyExists(f"{error} Set another password with reset-password.") from None
    return f"{user.email} is an administrator now."


async def _reset_password(channel: grpc.aio.Channel, email: str, password: str) -> str:
    stub = identity_pb2_grpc.IdentityServiceStub(channel)
    user = await find_user(channel, email)
    request = identity_pb2.UpdateUserRequest(user_id=user.id, password=password)
    with rpc_errors():
        await stub.UpdateUser(request)
    return f"{user.email} has a new password; all sessions have ended."

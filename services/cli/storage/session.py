"""One command against storage: connected as an administrator, with its errors in one line."""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from reelgate.storage.v1 import settings_pb2_grpc, storage_pb2_grpc
from services.cli.connection import NotReachable, service_as_administrator
from services.cli.screen import Screen
from services.cli.settings import CliSettings
from services.kernel.errors import ReelgateError
from services.kernel.settings import load

INTERRUPTED: Final = 130  # as a shell says of what Ctrl-C ended
_WHO: Final = (
    "Finds storage by $REELGATE_HOME/ready.json, or by REELGATE_STORAGE_ADDRESS together with "
    "REELGATE_GATEWAY_ADDRESS, REELGATE_EMAIL and REELGATE_PASSWORD of an administrator, or with "
    "REELGATE_GATEWAY_SIGNING_KEY_FILE."
)


class Refused(Exception):
    """The command line makes no sense; the message says why."""


@dataclass(frozen=True, slots=True)
class Session:
    """What an act works with."""

    settings: "settings_pb2_grpc.StorageSettingsServiceAsyncStub"
    objects: "storage_pb2_grpc.StorageServiceAsyncStub"
    screen: Screen


Act = Callable[[Session, argparse.Namespace], Awaitable[int]]


def add_command(
    acts: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    what: str,
    act: Act,
    prepare: Callable[[argparse.Namespace], None] = lambda _: None,
) -> argparse.ArgumentParser:
    """A sub-command of `storage`; ``prepare`` checks its arguments (and asks at the terminal) before it connects."""
    parser = acts.add_parser(
        name, help=what, description=f"{what[0].upper()}{what[1:]}. {_WHO}", allow_abbrev=False
    )
    parser.set_defaults(run=lambda arguments: _run(arguments, act, prepare))
    return parser


def _run(
    arguments: argparse.Namespace, act: Act, prepare: Callable[[argparse.Namespace], None]
) -> int:
    try:
        settings = load(CliSettings)
        prepare(arguments)
        return asyncio.run(_connected(settings, act, arguments))
    except (NotReachable, Refused, ReelgateError) as error:
        print(f"reelgate: {_sentence(error)}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, EOFError):
        print("\nreelgate: stopped", file=sys.stderr)
        return INTERRUPTED


async def _connected(settings: CliSettings, act: Act, arguments: argparse.Namespace) -> int:
    async with service_as_administrator(settings, "storage") as channel:
        session = Session(
            settings_pb2_grpc.StorageSettingsServiceStub(channel),
            storage_pb2_grpc.StorageServiceStub(channel),
            Screen(sys.stdout, colours=not settings.no_color),
        )
        return await act(session, arguments)


def _sentence(error: Exception) -> str:
    if not isinstance(error, ReelgateError):
        return str(error)
    name = (error.field or "").replace("_", " ")
    if name not in str(error):
        return f"{name}: {error}"
    if error.reason == "OBJECTS_LEFT_BEHIND":
        return f"{error} (--leave-objects-behind goes on all the same.)"
    return str(error)

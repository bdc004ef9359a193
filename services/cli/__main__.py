"""`reelgate`: every sub-command is a module of this package that registers itself."""

import argparse
import importlib.metadata
import sys
from collections.abc import Callable, Sequence
from typing import Protocol, cast

from services.cli import admin, credit, quota, storage, up


class Command(Protocol):
    """What a module of this package offers to become a sub-command."""

    def register(self, commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
        """Add the sub-command's parser, with ``set_defaults(run=...)``: parsed arguments to exit code."""


_COMMANDS: Sequence[Command] = (up, admin, quota, credit, storage)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and run what it names; gives the exit code."""
    parser = argparse.ArgumentParser(
        prog="reelgate", description="A self-hosted media-generation gateway."
    )
    parser.add_argument("--version", action="version", version=f"reelgate {_version()}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.register(commands)
    parsed = parser.parse_args(arguments)
    return cast("Callable[[argparse.Namespace], int]", parsed.run)(parsed)


def _version() -> str:
    try:
        return importlib.metadata.version("reelgate")
    except importlib.metadata.PackageNotFoundError:
        return "(run from its sources, not installed)"


if __name__ == "__main__":
    sys.exit(main())

"""`reelgate storage`: tries, changes and sweeps the place where works are kept."""

import argparse

from services.cli.storage import changes, reports, sweeps, trials


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `storage` to the command line."""
    storage = commands.add_parser("storage", help="try, change and sweep the place of the works")
    acts = storage.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (trials, changes, sweeps, reports):
        module.register(acts)

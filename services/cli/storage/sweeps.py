"""`reelgate storage sweep`: bytes without a row, rows without bytes (E10)."""

import argparse

from reelgate.storage.v1 import storage_pb2
from services.cli.storage.session import Session, add_command
from services.kernel.errors import Internal
from services.kernel.status import rpc_errors


def register(acts: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command that sweeps."""
    parser = add_command(
        acts,
        "sweep",
        "look for bytes that no work knows and works whose bytes are gone; orphans are marked, and deleted when "
        "they are found again a week later",
        _sweep,
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")


async def _sweep(session: Session, arguments: argparse.Namespace) -> int:
    request = storage_pb2.SweepRequest(dry_run=arguments.dry_run)
    last: storage_pb2.SweepResponse | None = None
    with rpc_errors():
        async for last in session.objects.Sweep(request):
            session.screen.bar(last.scanned_count, last.total_count, _going(last))
    if last is None:
        raise Internal("Storage ended the sweep without saying what came of it.")
    session.screen.line(outcome(last, dry_run=arguments.dry_run))
    if last.missing_count:
        session.screen.line(
            f"! The bytes of {last.missing_count:,} works are not there. Their rows are kept: put the bytes back, "
            "or delete the works."
        )
    return 0


def _going(so_far: storage_pb2.SweepResponse) -> str:
    if so_far.total_count:
        return f"{so_far.scanned_count:,} of {so_far.total_count:,} looked at"
    return f"{so_far.scanned_count:,} looked at"


def outcome(counts: storage_pb2.SweepResponse, *, dry_run: bool) -> str:
    """The final counts in a sentence."""
    would = "would be " if dry_run else ""
    return (
        f"{counts.scanned_count:,} keys and rows looked at: {counts.marked_count:,} {would}marked, "
        f"{counts.deleted_count:,} {would}deleted, {counts.adopted_count:,} {would}adopted, "
        f"{counts.aborted_count:,} unfinished {would}removed, {counts.missing_count:,} missing."
    )

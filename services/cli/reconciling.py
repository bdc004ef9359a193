"""`reelgate quota reconcile`: each user's books against storage and the ledger, as a table of what is off (G9)."""

import argparse
import sys
from typing import Final

import grpc

from reelgate.gateway.v1 import (
    identity_pb2,
    identity_pb2_grpc,
    reconciliation_pb2,
    reconciliation_pb2_grpc,
)
from reelgate.quota.v1 import quota_pb2
from services.cli import figures
from services.cli.connection import as_administrator
from services.cli.people import find_user
from services.cli.screen import Screen
from services.cli.settings import CliSettings
from services.kernel.errors import NotFound
from services.kernel.status import rpc_errors

_HEADS: Final = ("user", "what", "in the books", "counted", "")


async def reconcile(settings: CliSettings, arguments: argparse.Namespace) -> int:
    """Compares, and repairs when told to; 0 only when all books are right afterwards."""
    screen = Screen(sys.stdout, colours=not settings.no_color)
    drifted: list[quota_pb2.Recount] = []
    done = 0
    async with as_administrator(settings) as gateway:
        request = reconciliation_pb2.ReconcileRequest(repair=arguments.repair)
        if arguments.email:
            request.user_id = (await find_user(gateway, arguments.email)).id
        stub: reconciliation_pb2_grpc.ReconciliationServiceAsyncStub = (
            reconciliation_pb2_grpc.ReconciliationServiceStub(gateway)
        )
        with rpc_errors():
            async for answer in stub.Reconcile(request):
                done = answer.done_count
                screen.bar(done, answer.total_count, f"{done:,} users")
                if answer.recount.drifted:
                    drifted.append(answer.recount)
        rows = [row for one in drifted for row in _rows(one, await _name(gateway, one.user_id))]
    if rows:
        screen.table(_HEADS, rows, right="  >>")
        screen.line()
    left = sum(not one.repaired for one in drifted)
    screen.line(_outcome(done, len(drifted), left))
    return 1 if left else 0


def _outcome(done: int, drifted: int, left: int) -> str:
    users = f"{done:,} user{'' if done == 1 else 's'} compared"
    if not drifted:
        return f"{users}: all books are right."
    if not left:
        return f"{users}: the books of {drifted:,} were off and are right now."
    if left < drifted:
        return (
            f"{users}: the books of {drifted:,} were off, {drifted - left:,} of them are right now."
        )
    return f"{users}: the books of {left:,} are off. --repair puts right what counting can decide."


def _rows(one: quota_pb2.Recount, name: str) -> list[tuple[str, ...]]:
    size, plain = figures.size, "{:,}".format
    compared = (
        ("bytes used", one.recorded_used_bytes, one.counted_used_bytes, size),
        ("bytes reserved", one.recorded_reserved_bytes, one.counted_reserved_bytes, size),
        ("credits", one.recorded_balance, one.ledger_balance, plain),
        ("credits held", one.recorded_held, one.ledger_held, plain),
        ("credits spent", one.recorded_spent, one.ledger_spent, plain),
    )
    became = "repaired" if one.repaired else ""
    rows: list[tuple[str, ...]] = [
        (name, what, shown(recorded), shown(counted), became)
        for what, recorded, counted, shown in compared
        if recorded != counted
    ]
    if one.open_holds != one.ledger_held:
        # No counting tells which of them is right.
        held = ("held by what is open", plain(one.ledger_held), plain(one.open_holds))
        rows.append((name, *held, "look at the ledger"))
    if one.run_count:
        off = ("kept results", f"{one.run_count:,} of another size", "")
        rows.append((name, *off, became))
    return rows


async def _name(gateway: grpc.aio.Channel, user_id: str) -> str:
    stub: identity_pb2_grpc.IdentityServiceAsyncStub = identity_pb2_grpc.IdentityServiceStub(
        gateway
    )
    try:
        with rpc_errors():
            answer = await stub.GetUser(identity_pb2.GetUserRequest(user_id=user_id))
    except NotFound:
        return user_id
    return answer.user.email

"""Has storage fetch one result from its upstream, and says meanwhile how far it is."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Final

from services.gateway.clients import Stored
from services.gateway.generations import Lease, Media
from services.gateway.worker.workplace import Workplace
from services.kernel.errors import Aborted, Unavailable

_SOURCE_TRIES: Final = 4
_PROGRESS_SECONDS: Final = 1.0

Say = Callable[[Lease, int], Awaitable[Lease]]
"""Writes a percentage down, and returns the lease with the row as it is then."""


async def ingest(at: Workplace, lease: Lease, medium: Media, say: Say) -> tuple[Lease, Stored]:
    """Where storage has it; a source that fails is tried again. One that is kept already is not fetched.

    Raises what storage answers: Unavailable (NO_TIER), FailedPrecondition (STALE_LEASE, TOMBSTONED), Aborted
    (SOURCE_FAILED), InvalidArgument, ResourceExhausted.
    """
    account, provider = await at.upstream(medium.account_id)
    source = provider.source(account, medium.upstream_url)
    for number in range(1, _SOURCE_TRIES + 1):
        try:
            wrote_at = time.monotonic()  # a short one shows no second percentage
            steps = at.storage.ingest(lease.generation, lease.token, medium.index, source)
            async with aclosing(steps):
                async for step in steps:
                    if step.stored is not None:
                        return lease, step.stored
                    if step.total_bytes and time.monotonic() - wrote_at >= _PROGRESS_SECONDS:
                        percent = min(99, 100 * step.done_bytes // step.total_bytes)
                        lease = await say(lease, percent)
                        wrote_at = time.monotonic()
            raise Unavailable("Storage ended without an answer.")
        except Aborted:
            if number == _SOURCE_TRIES:
                raise
            await asyncio.sleep(2.0 ** (number - 1))
    raise AssertionError("unreachable: the last try returns or raises")

"""The object that says whose a bucket's prefix is: two installations must not sweep one another's works."""

import json
import zlib
from typing import Final

import structlog

from services.kernel.errors import FailedPrecondition
from services.kernel.ids import new_id
from services.storage.keys import MARKER
from services.storage.ports import Blobs, Part, Place, TierFailed
from services.storage.store.sweeps import Installation

log = structlog.get_logger()

_LONGEST: Final = 4096


async def require_ours(blobs: Blobs, installation: Installation, *, dry_run: bool) -> None:
    """Raises FailedPrecondition (SWEEP_STOPPED) for a prefix of another installation, and TierFailed.

    One without a marker gets ours, unless `dry_run`.
    """
    named = await _read(blobs)
    if named is None and not dry_run:
        await _write(blobs, installation)
        log.info("prefix_marked", tier=blobs.tier, prefix=blobs.prefix)
        # Another one may have come at the same moment: whoever wrote last has it.
        named = await _read(blobs)
    if named not in {None, str(installation.id)}:
        raise FailedPrecondition(
            f"The object {blobs.prefix}{MARKER} says that another installation keeps its works here. Give this one a "
            "prefix of its own; or, when the other one is no more, delete that object and sweep again.",
            reason="SWEEP_STOPPED",
            metadata={"cause": "OTHER_INSTALLATION"},
        )


async def _read(blobs: Blobs) -> str | None:
    """The id that the marker names, "" when it can not be understood; None without one."""
    try:
        async with blobs.read(blobs.prefix + MARKER, 0, _LONGEST) as chunks:
            text = b"".join([chunk async for chunk in chunks])
    except TierFailed as failure:
        if failure.trouble == "missing":
            return None
        raise
    try:
        return str(json.loads(text)["installation_id"])
    except (ValueError, TypeError, KeyError):
        return ""


async def _write(blobs: Blobs, installation: Installation) -> None:
    says = {
        "installation_id": str(installation.id),
        "since": installation.since.isoformat(timespec="seconds"),
        "about": "Reelgate keeps works here. Sweeps of other installations leave them alone.",
    }
    body = json.dumps(says, indent=1).encode()
    place = Place(blobs.prefix + MARKER, "application/json", new_id(), whole=True, again=False)
    writer = await blobs.create(place)
    await writer.write(Part(1, 0, memoryview(body), zlib.crc32(body)))
    await writer.complete()

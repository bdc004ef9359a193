"""Finds out by itself what a new S3 server can do, once, as soon as it answers."""

import asyncio
from contextlib import aclosing
from typing import Final

import structlog

from services.kernel.egress import Egress
from services.storage.configuration.in_force import S3InForce
from services.storage.objects import Tier
from services.storage.s3.capabilities import fingerprint
from services.storage.s3.target import S3Target
from services.storage.store.settings import SettingsStore
from services.storage.tiers import Tiers
from services.storage.trial.trial import Trial

log = structlog.get_logger()

_LOOK_SECONDS: Final = 2.0
_FIRST_PAUSE_SECONDS: Final = 60.0
_LONGEST_PAUSE_SECONDS: Final = 3600.0


async def probe_what_is_new(
    in_force: S3InForce, store: SettingsStore, tiers: Tiers, egress: Egress
) -> None:
    """For ever. What is found out is stored, and known to all replicas from then on."""
    pause = _FIRST_PAUSE_SECONDS
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        target = in_force.now.settings.usable
        if target is None or in_force.capabilities or not tiers.is_healthy(Tier.S3):
            continue
        try:
            if await _probe(target, store, egress):
                await in_force.read()
                pause = _FIRST_PAUSE_SECONDS
                continue
        except Exception:
            log.warning("s3_not_probed", exc_info=True)
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)


async def _probe(target: S3Target, store: SettingsStore, egress: Egress) -> bool:
    trial = Trial(target, egress, page_origin="")
    async with aclosing(trial.steps("abilities")) as steps:
        async for step in steps:
            if not step.ok:
                log.warning("s3_probe_failed", step=step.name, detail=step.detail, cure=step.cure)
    if (found := trial.capabilities) is None:
        return False
    await store.record(fingerprint(target), found)
    log.info("s3_capabilities", listing=found.listing, checksums=found.checksums)
    return True

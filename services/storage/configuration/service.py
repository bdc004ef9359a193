"""What administrators do with the S3 settings: look at them, change them, forget the change, try them."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import structlog

from services.kernel.context import require_admin
from services.kernel.egress import Egress, EgressRefused
from services.kernel.errors import Aborted, FailedPrecondition, InvalidArgument
from services.kernel.sealing import KeyRing
from services.storage.configuration.form import S3Form, understood
from services.storage.configuration.in_force import KEYS_VARIABLE, PRIVATE_VARIABLE, S3InForce, seal
from services.storage.configuration.model import InForce, S3Settings
from services.storage.objects import Tier
from services.storage.ports import TierFailed
from services.storage.s3.blobs import S3Blobs, open_s3
from services.storage.s3.capabilities import Capabilities, fingerprint
from services.storage.s3.target import S3Target
from services.storage.store.settings import SettingsRow, SettingsStore
from services.storage.tiers import Tiers
from services.storage.trial.trial import Step, Trial

log = structlog.get_logger()

_SAMPLE: Final = 5


@dataclass(frozen=True, slots=True)
class Shown:
    """What an administrator sees; `capabilities` None before they were tried."""

    in_force: InForce
    capabilities: Capabilities | None
    warnings: tuple[str, ...]


class S3SettingsService:
    """Administrators only: every method raises PermissionDenied for others."""

    def __init__(
        self,
        in_force: S3InForce,
        store: SettingsStore,
        tiers: Tiers,
        keys: KeyRing | None,
        egress: Egress,
        *,
        page_origin: str,
    ) -> None:
        self._in_force = in_force
        self._store = store
        self._tiers = tiers
        self._keys = keys
        self._egress = egress
        self._page_origin = page_origin

    async def get(self) -> Shown:
        """The settings in force, and what should be known about them."""
        require_admin()
        await self._in_force.read()
        now = self._in_force.now
        warnings = list(now.warnings)
        if now.settings.usable is None:
            if await self._store.newest_keys(1):
                warnings.append("Works lie in S3, which is not used now: they can not be read.")
        elif trouble := self._tiers.trouble(Tier.S3):
            warnings.append(f"S3 did not work when it was last asked: {trouble}. Test it.")
        return Shown(now, self._in_force.capabilities, tuple(warnings))

    async def update(self, form: S3Form, *, leave_objects_behind: bool) -> InForce:
        """Replaces the settings, here at once and elsewhere within 5 s.

        Raises InvalidArgument (with the field), Aborted (STALE_ETAG), FailedPrecondition (OBJECTS_LEFT_BEHIND,
        NO_ENCRYPTION_KEYS).
        """
        who = require_admin()
        await self._in_force.read()
        settings = understood(form, self._in_force)
        if settings.target.endpoint:
            self._require_reachable(settings.target.endpoint)
        if not leave_objects_behind:
            await self._require_objects_in(settings)
        row = self._row(settings)
        if not await self._store.write(row, UUID(who.subject), form.etag):
            raise _stale()
        log.info("s3_settings_updated", by=who.subject, enabled=settings.enabled)
        await self._in_force.read()
        return self._in_force.now

    async def reset(self, etag: str, *, leave_objects_behind: bool) -> InForce:
        """Puts the environment's settings in force again. Raises Aborted and FailedPrecondition as `update` does."""
        who = require_admin()
        await self._in_force.read()
        if not leave_objects_behind:
            await self._require_objects_in(self._in_force.environment)
        if not await self._store.reset(etag):
            raise _stale()
        log.info("s3_settings_reset", by=who.subject)
        await self._in_force.read()
        return self._in_force.now

    async def test(
        self, form: S3Form | None, *, connect_only: bool, keep_picture: bool
    ) -> AsyncGenerator[Step, None]:
        """Tries what a form says, or what is in force; what is found out is remembered. Raises InvalidArgument."""
        require_admin()
        await self._in_force.read()
        settings = understood(form, self._in_force) if form else self._in_force.now.settings
        target = settings.target
        if missing := target.missing():
            names = ", ".join(name.replace("_", " ") for name in missing)
            yield Step("connect", False, f"There is no {names}.", f"Fill in: {names}.", 0)
            return
        trial = Trial(
            target, self._egress, page_origin=self._page_origin, keep_picture=keep_picture
        )
        async with aclosing(trial.steps("connect" if connect_only else "all")) as steps:
            async for step in steps:
                yield step
        if trial.capabilities:
            await self._store.record(fingerprint(target), trial.capabilities)
            await self._in_force.read()

    def _row(self, settings: S3Settings) -> SettingsRow:
        target = settings.target
        return SettingsRow(
            enabled=settings.enabled,
            endpoint=target.endpoint,
            public_endpoint=target.public_endpoint,
            region=target.region,
            bucket=target.bucket,
            access_key_id=target.access_key_id,
            sealed_secret=self._sealed(target),
            prefix=target.prefix,
            path_style=target.path_style,
            cdn_url=target.cdn_url,
            delivery=target.delivery,
        )

    def _sealed(self, target: S3Target) -> bytes | None:
        """The secret as it is stored, with the newest key; None where the environment's own is meant."""
        given, secret = self._in_force.environment.target, target.secret_access_key
        if not secret or (target.access_key_id, secret) == (
            given.access_key_id,
            given.secret_access_key,
        ):
            return None
        if self._keys is None:
            raise FailedPrecondition(
                f"A secret is stored encrypted only, and there is no key for that: set {KEYS_VARIABLE} for the storage "
                "service (name:base64 of 32 random bytes).",
                reason="NO_ENCRYPTION_KEYS",
            )
        return seal(self._keys, secret)

    def _require_reachable(self, endpoint: str) -> None:
        try:
            self._egress.policy.judge(endpoint)
        except EgressRefused:
            raise InvalidArgument(
                "The endpoint's address is private, and only the environment may allow that: name its origin in "
                f"{PRIVATE_VARIABLE} of the storage service.",
                field="endpoint",
            ) from None

    async def _require_objects_in(self, settings: S3Settings) -> None:
        """Looks a sample of what is kept up where the settings lead, if that is somewhere else than now."""
        old, new = self._in_force.now.settings.usable, settings.usable
        if new is None or (old is not None and _place(old) == _place(new)):
            return
        keys = await self._store.newest_keys(_SAMPLE)
        if not keys:
            return
        async with open_s3(new, self._egress) as blobs:
            found = await asyncio.gather(*(_is_there(blobs, key) for key in keys))
        if not all(found):
            raise FailedPrecondition(
                f"Works are kept in S3, and of the newest {len(keys)} the new bucket has {sum(found)}: "
                "copy them there under the same keys first, or say that they may be left behind.",
                reason="OBJECTS_LEFT_BEHIND",
                metadata={"looked_up": str(len(keys)), "found": str(sum(found))},
            )


async def _is_there(blobs: S3Blobs, key: str) -> bool:
    try:
        async with blobs.read(key, 0, 1) as chunks:
            async for _ in chunks:
                pass
    except TierFailed as failure:
        log.info("sample_not_found", key=key, trouble=failure.trouble, detail=failure.detail)
        return False
    return True


def _place(target: S3Target) -> tuple[str, str]:
    return target.endpoint, target.bucket


def _stale() -> Aborted:
    return Aborted(
        "Somebody else changed the settings meanwhile: look at them again first.",
        reason="STALE_ETAG",
    )

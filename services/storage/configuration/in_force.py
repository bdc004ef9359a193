"""Which S3 settings are in force: an operator's row or the environment, followed while the service runs."""

import asyncio
from collections.abc import Set as AbstractSet
from contextlib import aclosing
from dataclasses import replace
from typing import Final

import structlog

from services.kernel.egress import EgressRefused, Origin, origin_of
from services.kernel.postgres import listen
from services.kernel.sealing import KeyRing, SealBroken
from services.storage.configuration.model import (
    ENVIRONMENT_ETAG,
    InForce,
    S3Settings,
    SettingsOrigin,
)
from services.storage.configuration.switch import S3Switch
from services.storage.s3.capabilities import Capabilities, Checksums, fingerprint
from services.storage.s3.target import Delivery, S3Target
from services.storage.store.settings import CHANNEL, SettingsRow, SettingsStore

log = structlog.get_logger()

# A change is in force within 5 s also when its notification is lost: what is left is for the first look at the server.
_POLL_SECONDS: Final = 1.5

KEYS_VARIABLE: Final = "REELGATE_STORAGE_ENCRYPTION_KEYS"
PRIVATE_VARIABLE: Final = "REELGATE_EGRESS_PRIVATE_ORIGINS"


class S3InForce:
    """Reads the settings and switches the S3 tier to them. Call `read` before anything else.

    `trusted` are the origins that settings may name although their addresses are private.
    """

    def __init__(
        self,
        environment: S3Settings,
        trusted: AbstractSet[Origin],
        keys: KeyRing | None,
        store: SettingsStore,
        switch: S3Switch,
    ) -> None:
        self.environment: Final = environment
        self.trusted: Final = trusted
        self._keys = keys
        self._store = store
        self._switch = switch
        self._turn = asyncio.Lock()
        self._row: SettingsRow | None = None
        self._used: S3Target | None = None
        self._now: InForce | None = None
        self.capabilities: Capabilities | None = None

    @property
    def now(self) -> InForce:
        """The settings in force."""
        assert self._now is not None  # noqa: S101 - they are read before the service serves
        return self._now

    async def read(self) -> None:
        """Reads what is in force now, and changes over to it."""
        async with self._turn:
            row = await self._store.read()
            if self._now is None or row != self._row:
                self._now = self._understood(row)
                self._row = row
                log.info("s3_settings_in_force", origin=self._now.origin, etag=self._now.etag)
                for warning in self._now.warnings:
                    log.warning("s3_settings_warning", warning=warning)
            await self._change_over(self._now)

    async def _change_over(self, now: InForce) -> None:
        target = now.settings.usable
        found = await self._store.capabilities(fingerprint(target)) if target else None
        self.capabilities = found
        if target and found and found.checksums is Checksums.REFUSED:
            target = replace(target, checksums=False)
        if target == self._used:
            return
        try:
            await self._switch.use(target)
        except (EgressRefused, ValueError) as refusal:
            log.warning("s3_endpoint_refused", reason=str(refusal))
            self._now = replace(now, warnings=(*now.warnings, _not_allowed()))
            await self._switch.use(None)
        self._used = target

    async def follow(self, direct_url: str) -> None:
        """Reads again whenever they may have changed, for ever."""
        async with aclosing(listen(direct_url, CHANNEL, poll_seconds=_POLL_SECONDS)) as hints:
            async for _ in hints:
                try:
                    await self.read()
                except Exception:
                    # The database is away, most likely: what was in force stays so until it is back.
                    log.warning("s3_settings_not_read", exc_info=True)

    def _understood(self, row: SettingsRow | None) -> InForce:
        warnings: list[str] = []
        locked = False
        if row is None:
            settings, origin = self.environment, SettingsOrigin.ENVIRONMENT
            etag = ENVIRONMENT_ETAG
        else:
            try:
                secret = self._secret_of(row)
            except SealBroken:
                secret, locked = "", True
                warnings.append(_not_opened())
            settings, origin = self._settings_of(row, secret), SettingsOrigin.OPERATOR
            etag = str(row.etag)
        missing = settings.target.missing()
        if settings.enabled and missing:
            names = ", ".join(name.replace("_", " ") for name in missing)
            warnings.append(f"S3 is switched on, but not used: it has no {names}.")
        return InForce(settings, origin, etag, tuple(warnings), locked)

    def _settings_of(self, row: SettingsRow, secret: str) -> S3Settings:
        try:
            trusted = bool(row.endpoint) and origin_of(row.endpoint) in self.trusted
        except EgressRefused:
            trusted = False
        target = S3Target(
            endpoint=row.endpoint,
            public_endpoint=row.public_endpoint,
            region=row.region,
            bucket=row.bucket,
            access_key_id=row.access_key_id,
            secret_access_key=secret,
            prefix=row.prefix,
            path_style=row.path_style,
            cdn_url=row.cdn_url,
            delivery=Delivery(row.delivery),
            private=trusted,
        )
        return S3Settings(row.enabled, target)

    def _secret_of(self, row: SettingsRow) -> str:
        if row.sealed_secret is None:
            given = self.environment.target
            same = bool(row.access_key_id) and row.access_key_id == given.access_key_id
            return given.secret_access_key if same else ""
        return unseal(self._keys, row.sealed_secret)


def seal(keys: KeyRing, secret: str) -> bytes:
    """The secret as it is stored."""
    return keys.seal(secret.encode(), table="s3_settings", row="the_only", column="sealed_secret")


def unseal(keys: KeyRing | None, sealed: bytes) -> str:
    """The secret that was stored. Raises SealBroken."""
    if keys is None:
        raise SealBroken
    opened = keys.unseal(sealed, table="s3_settings", row="the_only", column="sealed_secret")
    return opened.decode()


def _not_opened() -> str:
    return (
        f"The stored secret can not be opened with the keys of {KEYS_VARIABLE}: "
        "put the key back that it was sealed with, or enter the secret again."
    )


def _not_allowed() -> str:
    return (
        "The endpoint's address can not be used. If it is a private one, name its origin in "
        f"{PRIVATE_VARIABLE} of the storage service."
    )

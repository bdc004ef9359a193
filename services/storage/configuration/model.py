"""The S3 settings in force: what they are, where they come from, what an operator should know about them."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from services.storage.s3.target import S3Target

# The etag of the environment's settings: they only change with a restart.
ENVIRONMENT_ETAG: Final = "environment"


class SettingsOrigin(StrEnum):
    """Where settings come from; an operator's win wholly over the environment's."""

    ENVIRONMENT = "environment"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class S3Settings:
    """A bucket, complete or not, and whether it is to be used."""

    enabled: bool
    target: S3Target

    @property
    def usable(self) -> S3Target | None:
        """The bucket, if it is switched on and nothing is missing."""
        return self.target if self.enabled and not self.target.missing() else None


@dataclass(frozen=True, slots=True)
class InForce:
    """Settings in force; `etag` changes with each update. `locked`: a secret is stored and can not be opened."""

    settings: S3Settings
    origin: SettingsOrigin
    etag: str
    warnings: tuple[str, ...]
    locked: bool = False

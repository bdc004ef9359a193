"""Settings of the storage service."""

from pathlib import Path
from typing import Final, Literal, Self

import structlog
from pydantic import Field, SecretStr, field_validator, model_validator

from services.kernel.egress import EgressRefused, Origin, origin_of, parse_origins
from services.kernel.logs import LogFormat, LogLevel
from services.kernel.settings import DatabaseUrl, HostPort, Settings
from services.storage.target import S3Target

log = structlog.get_logger()

_MIB: Final = 1024 * 1024
_SMALLEST_PART_BYTES: Final = 5 * _MIB  # S3 refuses smaller ones, but for the last
_MOST_PARTS: Final = 10_000


class StorageSettings(Settings):
    """Everything the storage service can be told by its environment."""

    listen: HostPort = Field(validation_alias="REELGATE_STORAGE_LISTEN", default="127.0.0.1:9102")
    admin_listen: HostPort = Field(
        validation_alias="REELGATE_STORAGE_ADMIN_LISTEN", default="127.0.0.1:9202"
    )
    database_url: DatabaseUrl = Field(validation_alias="REELGATE_STORAGE_DATABASE_URL")
    direct_url: DatabaseUrl | None = Field(
        validation_alias="REELGATE_STORAGE_DIRECT_URL", default=None
    )
    migrate_on_start: bool = Field(
        validation_alias="REELGATE_STORAGE_MIGRATE_ON_START", default=True
    )
    jwks_file: Path = Field(validation_alias="REELGATE_JWKS_FILE")
    log_level: LogLevel = Field(validation_alias="REELGATE_LOG_LEVEL", default="info")
    log_format: LogFormat = Field(validation_alias="REELGATE_LOG_FORMAT", default="json")
    reflection: bool = Field(validation_alias="REELGATE_STORAGE_REFLECTION", default=False)
    drain_seconds: float = Field(
        validation_alias="REELGATE_STORAGE_DRAIN_SECONDS", default=600, ge=0
    )

    local_enabled: bool = Field(validation_alias="REELGATE_STORAGE_LOCAL_ENABLED", default=True)
    local_dir: Path | None = Field(validation_alias="REELGATE_STORAGE_LOCAL_DIR", default=None)
    local_min_free_bytes: int = Field(
        validation_alias="REELGATE_STORAGE_LOCAL_MIN_FREE_BYTES", default=256 * _MIB, ge=0
    )

    buffer_bytes: int = Field(
        validation_alias="REELGATE_STORAGE_BUFFER_BYTES", default=128 * _MIB, ge=16 * _MIB
    )
    part_bytes: int = Field(
        validation_alias="REELGATE_STORAGE_PART_BYTES",
        default=_SMALLEST_PART_BYTES,
        ge=_SMALLEST_PART_BYTES,
        le=1024 * _MIB,
    )
    parts_in_flight: int = Field(
        validation_alias="REELGATE_STORAGE_PARTS_IN_FLIGHT", default=3, ge=1, le=16
    )
    transfer_lease_seconds: float = Field(
        validation_alias="REELGATE_STORAGE_TRANSFER_LEASE_SECONDS", default=15, ge=0.5
    )
    max_object_bytes: int = Field(
        validation_alias="REELGATE_STORAGE_MAX_OBJECT_BYTES", default=10 * 1024 * _MIB, ge=1
    )
    source_idle_seconds: float = Field(
        validation_alias="REELGATE_STORAGE_SOURCE_IDLE_SECONDS", default=30, gt=0
    )
    source_total_seconds: float = Field(
        validation_alias="REELGATE_STORAGE_SOURCE_TOTAL_SECONDS", default=3600, gt=0
    )
    private_origins: str = Field(validation_alias="REELGATE_EGRESS_PRIVATE_ORIGINS", default="")

    provider: Literal["", "s3", "r2"] = Field(validation_alias="STORAGE_PROVIDER", default="")
    use_r2: bool = Field(validation_alias="USE_R2_STORAGE", default=True)
    cdn_url: str = Field(validation_alias="CDN_URL", default="")
    s3_endpoint: str = Field(validation_alias="S3_ENDPOINT", default="")
    s3_public_endpoint: str = Field(validation_alias="S3_PUBLIC_ENDPOINT", default="")
    s3_region: str = Field(validation_alias="S3_REGION", default="")
    s3_bucket: str = Field(validation_alias="S3_BUCKET_NAME", default="")
    s3_access_key_id: str = Field(validation_alias="S3_ACCESS_KEY_ID", default="")
    s3_secret_access_key: SecretStr = Field(
        validation_alias="S3_SECRET_ACCESS_KEY", default=SecretStr("")
    )
    s3_prefix: str = Field(validation_alias="S3_PREFIX", default="")
    s3_path_style: bool | None = Field(validation_alias="S3_FORCE_PATH_STYLE", default=None)
    r2_account_id: str = Field(validation_alias="R2_ACCOUNT_ID", default="")
    r2_endpoint: str = Field(validation_alias="R2_ENDPOINT", default="")
    r2_public_url: str = Field(validation_alias="R2_PUBLIC_URL", default="")
    r2_bucket_name: str = Field(validation_alias="R2_BUCKET_NAME", default="")
    r2_bucket: str = Field(validation_alias="R2_BUCKET", default="")
    r2_access_key_id: str = Field(validation_alias="R2_ACCESS_KEY_ID", default="")
    r2_access_key: str = Field(validation_alias="R2_ACCESS_KEY", default="")
    r2_secret_access_key: SecretStr = Field(
        validation_alias="R2_SECRET_ACCESS_KEY", default=SecretStr("")
    )
    r2_secret_key: SecretStr = Field(validation_alias="R2_SECRET_KEY", default=SecretStr(""))

    @field_validator("private_origins")
    @classmethod
    def _origins(cls, value: str) -> str:
        parse_origins(value)
        return value

    @field_validator("s3_endpoint", "s3_public_endpoint", "r2_endpoint", "r2_public_url", "cdn_url")
    @classmethod
    def _address(cls, value: str) -> str:
        if value:
            try:
                origin_of(value)
            except EgressRefused:
                raise ValueError(
                    "must be an http(s) address, for example https://s3.example.com"
                ) from None
        return value.rstrip("/")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name, one, alias, other in (
            ("R2_BUCKET_NAME", self.r2_bucket_name, "R2_BUCKET", self.r2_bucket),
            ("R2_ACCESS_KEY_ID", self.r2_access_key_id, "R2_ACCESS_KEY", self.r2_access_key),
            (
                "R2_SECRET_ACCESS_KEY",
                self.r2_secret_access_key.get_secret_value(),
                "R2_SECRET_KEY",
                self.r2_secret_key.get_secret_value(),
            ),
        ):
            if one and other and one != other:
                raise ValueError(f"{name} and {alias} mean the same and have different values")
        if self.local_enabled and self.local_dir is None:
            raise ValueError(
                "REELGATE_STORAGE_LOCAL_DIR is not set: name a directory, or set "
                "REELGATE_STORAGE_LOCAL_ENABLED=false"
            )
        if self.part_bytes * _MOST_PARTS < self.max_object_bytes:
            raise ValueError(
                f"REELGATE_STORAGE_PART_BYTES: an object has at most {_MOST_PARTS} parts, and "
                "REELGATE_STORAGE_MAX_OBJECT_BYTES needs larger ones"
            )
        if self.part_bytes > self.buffer_bytes:
            raise ValueError("REELGATE_STORAGE_BUFFER_BYTES: must hold at least one part")
        return self

    @property
    def trusted_origins(self) -> frozenset[Origin]:
        """Origins of sources that may have private addresses."""
        return parse_origins(self.private_origins)

    def s3_target(self) -> S3Target | None:
        """The S3 tier of the environment; None when there is none, or only half of one (which is logged)."""
        if not self.use_r2:
            return None
        provider = self.provider or ("r2" if self.r2_bucket_name or self.r2_bucket else "s3")
        target = self._r2_target() if provider == "r2" else self._s3_target()
        begun = bool(
            self.provider
            or target.bucket
            or self.s3_endpoint
            or self.r2_endpoint
            or self.r2_account_id
        )
        if missing := target.missing():
            if begun:
                log.warning("s3_incomplete", provider=provider, missing=missing)
            return None
        return target

    def _r2_target(self) -> S3Target:
        derived = f"https://{self.r2_account_id}.r2.cloudflarestorage.com"
        return S3Target(
            endpoint=self.r2_endpoint or (derived if self.r2_account_id else ""),
            public_endpoint="",
            region="auto",
            bucket=self.r2_bucket_name or self.r2_bucket,
            access_key_id=self.r2_access_key_id or self.r2_access_key,
            secret_access_key=self.r2_secret_access_key.get_secret_value()
            or self.r2_secret_key.get_secret_value(),
            prefix=self.s3_prefix,
            path_style=True if self.s3_path_style is None else self.s3_path_style,
            cdn_url=self.cdn_url or self.r2_public_url,
        )

    def _s3_target(self) -> S3Target:
        region = self.s3_region or "us-east-1"
        # Only AWS itself is known to answer under bucket.endpoint.
        own_endpoint = bool(self.s3_endpoint)
        return S3Target(
            endpoint=self.s3_endpoint or f"https://s3.{region}.amazonaws.com",
            public_endpoint=self.s3_public_endpoint,
            region=region,
            bucket=self.s3_bucket,
            access_key_id=self.s3_access_key_id,
            secret_access_key=self.s3_secret_access_key.get_secret_value(),
            prefix=self.s3_prefix,
            path_style=own_endpoint if self.s3_path_style is None else self.s3_path_style,
            cdn_url=self.cdn_url,
        )

"""Settings of the storage service."""

from pathlib import Path
from typing import Final, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from services.kernel.egress import Origin, origin_of, parse_origins
from services.kernel.logs import LogFormat, LogLevel
from services.kernel.sealing import KeyRing
from services.kernel.settings import DatabaseUrl, HostPort, Settings
from services.storage.configuration import fields as s3_fields
from services.storage.configuration.model import S3Settings
from services.storage.s3.target import Delivery, S3Target, spelled_origin
from services.storage.transfer.pipe import MOST_PARTS

_MIB: Final = 1024 * 1024
_SMALLEST_PART_BYTES: Final = 5 * _MIB  # S3 refuses smaller ones, but for the last


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
        default=8 * _MIB,
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
    max_input_bytes: int = Field(
        validation_alias="REELGATE_STORAGE_MAX_INPUT_BYTES", default=10 * _MIB, ge=1
    )
    source_idle_seconds: float = Field(
        validation_alias="REELGATE_STORAGE_SOURCE_IDLE_SECONDS", default=30, gt=0
    )
    source_total_seconds: float = Field(
        validation_alias="REELGATE_STORAGE_SOURCE_TOTAL_SECONDS", default=3600, gt=0
    )
    # Less than this, on average over so many seconds of waiting for it, and a source is given up; 0 switches it off.
    source_min_bytes_per_second: int = Field(
        validation_alias="REELGATE_STORAGE_SOURCE_MIN_BYTES_PER_SECOND", default=4096, ge=0
    )
    source_window_seconds: float = Field(
        validation_alias="REELGATE_STORAGE_SOURCE_WINDOW_SECONDS", default=30, gt=0
    )
    orphan_age_hours: float = Field(
        validation_alias="REELGATE_STORAGE_ORPHAN_AGE_HOURS", default=24, ge=0
    )
    orphan_keep_days: float = Field(
        validation_alias="REELGATE_STORAGE_ORPHAN_KEEP_DAYS", default=7, ge=0
    )
    # Of what a sweep may delete: more than this, and it deletes nothing.
    sweep_most_keys: int = Field(
        validation_alias="REELGATE_STORAGE_SWEEP_MOST_KEYS", default=100, ge=0
    )
    sweep_most_percent: float = Field(
        validation_alias="REELGATE_STORAGE_SWEEP_MOST_PERCENT", default=1, ge=0, le=100
    )
    # Only where av and Pillow are installed, whatever this says.
    thumbnails: bool = Field(validation_alias="REELGATE_STORAGE_THUMBNAILS", default=True)
    private_origins: str = Field(validation_alias="REELGATE_EGRESS_PRIVATE_ORIGINS", default="")
    # Only needed where an operator's secret is stored.
    encryption_keys: SecretStr = Field(
        validation_alias="REELGATE_STORAGE_ENCRYPTION_KEYS", default=SecretStr("")
    )
    # Where browsers see Reelgate: the origin that a bucket's CORS rules must allow.
    public_url: str = Field(validation_alias="REELGATE_PUBLIC_URL", default="")

    provider: Literal["", "s3", "r2"] = Field(validation_alias="STORAGE_PROVIDER", default="")
    use_r2: bool = Field(validation_alias="USE_R2_STORAGE", default=True)
    cdn_url: str = Field(validation_alias="CDN_URL", default="")
    s3_enabled: bool | None = Field(validation_alias="S3_ENABLED", default=None)
    s3_delivery: Delivery = Field(validation_alias="S3_DELIVERY", default=Delivery.REDIRECT)
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

    @field_validator("encryption_keys")
    @classmethod
    def _keys(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value():
            KeyRing(value.get_secret_value())
        return value

    @field_validator("s3_endpoint", "s3_public_endpoint", "r2_endpoint")
    @classmethod
    def _endpoint(cls, value: str) -> str:
        return s3_fields.endpoint(value)

    @field_validator("r2_public_url", "cdn_url", "public_url")
    @classmethod
    def _address(cls, value: str) -> str:
        return s3_fields.address(value)

    @field_validator("s3_prefix")
    @classmethod
    def _prefix(cls, value: str) -> str:
        return s3_fields.prefix(value)

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
        if max(self.part_bytes, -(-self.max_object_bytes // MOST_PARTS)) > self.buffer_bytes:
            raise ValueError(
                "REELGATE_STORAGE_BUFFER_BYTES: must hold at least one part of "
                "REELGATE_STORAGE_PART_BYTES, and of the largest object, which has at most "
                f"{MOST_PARTS} parts"
            )
        return self

    @property
    def listen_url(self) -> str:
        """The address of the database itself, not of a pooler before it: for LISTEN and migrations."""
        return (self.direct_url or self.database_url).get_secret_value()

    @property
    def trusted_origins(self) -> frozenset[Origin]:
        """Origins of sources that may have private addresses."""
        return parse_origins(self.private_origins)

    @property
    def s3_trusted_origins(self) -> frozenset[Origin]:
        """Origins that S3 settings may name although they are private: whoever wrote the environment chose them."""
        target = self.s3_settings().target
        own = (target.endpoint, target.public_endpoint, target.cdn_url)
        return self.trusted_origins | {origin_of(url) for url in own if url}

    @property
    def page_origin(self) -> str:
        """The origin of our pages as browsers write it; "" where it is not known."""
        return spelled_origin(self.public_url) if self.public_url else ""

    @property
    def key_ring(self) -> KeyRing | None:
        """The keys that an operator's secret is sealed with; None where there are none."""
        text = self.encryption_keys.get_secret_value()
        return KeyRing(text) if text else None

    def s3_settings(self) -> S3Settings:
        """The S3 tier of the environment, complete or not; switched off where nothing was begun."""
        provider = self.provider or ("r2" if self.r2_bucket_name or self.r2_bucket else "s3")
        target = self._r2_target() if provider == "r2" else self._s3_target()
        begun = bool(
            self.provider
            or target.bucket
            or self.s3_endpoint
            or self.r2_endpoint
            or self.r2_account_id
        )
        wanted = begun if self.s3_enabled is None else self.s3_enabled
        return S3Settings(self.use_r2 and wanted, target)

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
            delivery=self.s3_delivery,
            private=True,
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
            delivery=self.s3_delivery,
            private=True,
        )

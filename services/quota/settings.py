"""Settings of the quota service."""

from pathlib import Path

from pydantic import Field

from services.kernel.logs import LogFormat, LogLevel
from services.kernel.settings import DatabaseUrl, HostPort, Settings
from services.quota.model import LARGEST_AMOUNT


class QuotaSettings(Settings):
    """Read once at the start."""

    listen: HostPort = Field(validation_alias="REELGATE_QUOTA_LISTEN")
    admin_listen: HostPort = Field(validation_alias="REELGATE_QUOTA_ADMIN_LISTEN")
    database_url: DatabaseUrl = Field(validation_alias="REELGATE_QUOTA_DATABASE_URL")
    direct_url: DatabaseUrl | None = Field(None, validation_alias="REELGATE_QUOTA_DIRECT_URL")
    jwks_file: Path = Field(validation_alias="REELGATE_JWKS_FILE")
    # 0 = none, -1 = unlimited; a default that an administrator sets wins.
    default_bytes: int = Field(
        0, ge=-1, le=LARGEST_AMOUNT, validation_alias="REELGATE_QUOTA_DEFAULT_BYTES"
    )
    # Credits that a user is given once, when he is first seen.
    new_user_credits: int = Field(
        1000, ge=0, le=LARGEST_AMOUNT, validation_alias="REELGATE_QUOTA_NEW_USER_CREDITS"
    )
    # More connections do not make it faster: the database is done with each call in under a millisecond.
    pool_size: int = Field(6, ge=1, le=64, validation_alias="REELGATE_QUOTA_POOL_SIZE")
    migrate_on_start: bool = Field(True, validation_alias="REELGATE_QUOTA_MIGRATE_ON_START")
    reflection: bool = Field(False, validation_alias="REELGATE_GRPC_REFLECTION")
    log_level: LogLevel = Field("info", validation_alias="REELGATE_LOG_LEVEL")
    log_format: LogFormat = Field("json", validation_alias="REELGATE_LOG_FORMAT")

    @property
    def migration_url(self) -> str:
        """The database without a pooler between."""
        return (self.direct_url or self.database_url).get_secret_value()

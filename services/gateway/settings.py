"""Settings of the gateway's three processes: api, edge and worker."""

from pathlib import Path

from pydantic import Field, SecretStr

from services.kernel.logs import LogFormat, LogLevel
from services.kernel.settings import DatabaseUrl, HostPort, Settings


class GatewaySettings(Settings):
    """What all three need."""

    database_url: DatabaseUrl = Field(validation_alias="REELGATE_GATEWAY_DATABASE_URL")
    direct_url: DatabaseUrl | None = Field(None, validation_alias="REELGATE_GATEWAY_DIRECT_URL")
    admin_listen: HostPort = Field(validation_alias="REELGATE_GATEWAY_ADMIN_LISTEN")
    signing_key_file: Path = Field(validation_alias="REELGATE_GATEWAY_SIGNING_KEY_FILE")
    jwks_file: Path = Field(validation_alias="REELGATE_JWKS_FILE")
    encryption_keys: SecretStr = Field(validation_alias="REELGATE_GATEWAY_ENCRYPTION_KEYS")
    storage_address: HostPort = Field(validation_alias="REELGATE_STORAGE_ADDRESS")
    quota_address: HostPort = Field(validation_alias="REELGATE_QUOTA_ADDRESS")
    private_origins: str = Field("", validation_alias="REELGATE_EGRESS_PRIVATE_ORIGINS")
    migrate_on_start: bool = Field(True, validation_alias="REELGATE_GATEWAY_MIGRATE_ON_START")
    log_level: LogLevel = Field("info", validation_alias="REELGATE_LOG_LEVEL")
    log_format: LogFormat = Field("json", validation_alias="REELGATE_LOG_FORMAT")

    @property
    def listen_url(self) -> str:
        """The database without a pooler between: for LISTEN and migrations."""
        return (self.direct_url or self.database_url).get_secret_value()


class ApiSettings(GatewaySettings):
    """The gRPC server."""

    listen: HostPort = Field(validation_alias="REELGATE_GATEWAY_LISTEN")
    reflection: bool = Field(False, validation_alias="REELGATE_GRPC_REFLECTION")
    registration_enabled: bool = Field(
        False, validation_alias="REELGATE_GATEWAY_REGISTRATION_ENABLED"
    )
    # For `make run`: a person, a key and an upstream to begin with. Never set in production.
    seed_email: str = Field("", validation_alias="REELGATE_GATEWAY_SEED_EMAIL")
    seed_password: SecretStr = Field(
        SecretStr(""), validation_alias="REELGATE_GATEWAY_SEED_PASSWORD"
    )
    seed_api_key: SecretStr = Field(SecretStr(""), validation_alias="REELGATE_GATEWAY_SEED_API_KEY")
    seed_studio_url: str = Field("", validation_alias="REELGATE_GATEWAY_SEED_STUDIO_URL")
    seed_studio_key: SecretStr = Field(
        SecretStr(""), validation_alias="REELGATE_GATEWAY_SEED_STUDIO_KEY"
    )


class EdgeSettings(GatewaySettings):
    """The OpenAI-compatible HTTP edge."""

    listen: HostPort = Field(validation_alias="REELGATE_GATEWAY_EDGE_LISTEN")


class WorkerSettings(GatewaySettings):
    """The process that follows generations."""

    lease_seconds: float = Field(
        10, ge=0.3, le=300, validation_alias="REELGATE_GATEWAY_LEASE_SECONDS"
    )
    capacity: int = Field(500, ge=1, le=20_000, validation_alias="REELGATE_GATEWAY_WORKER_CAPACITY")
    poll_seconds: float = Field(
        1.0, ge=0.05, le=60, validation_alias="REELGATE_GATEWAY_POLL_SECONDS"
    )
    reconcile_seconds: float = Field(
        86_400, ge=1, le=31 * 86_400, validation_alias="REELGATE_GATEWAY_RECONCILE_SECONDS"
    )
    lost_after_seconds: float = Field(
        900, ge=1, validation_alias="REELGATE_GATEWAY_LOST_AFTER_SECONDS"
    )

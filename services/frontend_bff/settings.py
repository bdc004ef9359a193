"""Settings of the BFF."""

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field
from pydantic_settings import NoDecode

from services.kernel.logs import LogFormat, LogLevel
from services.kernel.settings import HostPort
from services.kernel.settings import Settings as BaseSettings

_WEB = Path(__file__).parent / "web" / "dist"


def _origin(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
        raise ValueError("must be scheme://host[:port], for example https://reelgate.example")
    return f"{parts.scheme}://{parts.netloc}".lower()


def _origins(value: str) -> str:
    return ",".join(_origin(part.strip()) for part in value.split(",") if part.strip())


class Settings(BaseSettings):
    """What the environment says; see each variable's description."""

    listen: HostPort = Field(
        "127.0.0.1:8080", validation_alias="REELGATE_BFF_LISTEN", description="HTTP for everyone"
    )
    admin_listen: HostPort = Field(
        "127.0.0.1:0",
        validation_alias="REELGATE_BFF_ADMIN_LISTEN",
        description="Metrics and health, for the operator",
    )
    gateway_address: HostPort = Field(validation_alias="REELGATE_GATEWAY_ADDRESS")
    storage_address: HostPort = Field(validation_alias="REELGATE_STORAGE_ADDRESS")
    quota_address: HostPort = Field(validation_alias="REELGATE_QUOTA_ADDRESS")
    public_url: Annotated[str, AfterValidator(_origin)] | None = Field(
        None,
        validation_alias="REELGATE_PUBLIC_URL",
        description="Origin that browsers see; https makes cookies Secure",
    )
    cors_origins: Annotated[str, NoDecode, AfterValidator(_origins)] = Field(
        "",
        validation_alias="REELGATE_BFF_CORS_ORIGINS",
        description="Origins, separated by commas, whose pages may call with a bearer token",
    )
    web_dir: Path = Field(
        _WEB, validation_alias="REELGATE_BFF_WEB_DIR", description="The built web UI"
    )
    log_level: LogLevel = Field("info", validation_alias="REELGATE_LOG_LEVEL")
    log_format: LogFormat = Field("json", validation_alias="REELGATE_LOG_FORMAT")

    @property
    def is_https(self) -> bool:
        """Browsers reach us over TLS."""
        return self.public_url is not None and self.public_url.startswith("https://")

"""The studio's settings."""

from pathlib import Path

from pydantic import Field, SecretStr

from services.kernel.logs import LogFormat, LogLevel
from services.kernel.settings import HostPort, Settings


class StudioSettings(Settings):
    """Where it listens, where it keeps its videos, and the key its callers must show."""

    listen: HostPort = Field(validation_alias="REELGATE_STUDIO_LISTEN")
    directory: Path = Field(validation_alias="REELGATE_STUDIO_DIR")
    api_key: SecretStr = Field(validation_alias="REELGATE_STUDIO_API_KEY", min_length=1)
    log_level: LogLevel = Field(default="info", validation_alias="REELGATE_LOG_LEVEL")
    log_format: LogFormat = Field(default="json", validation_alias="REELGATE_LOG_FORMAT")

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to listen on."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)

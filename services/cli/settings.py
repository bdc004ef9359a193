"""Where the `reelgate` command finds a stack, and who it is there."""

from pathlib import Path

from pydantic import Field, SecretStr

from services.kernel.settings import HostPort, Settings


class CliSettings(Settings):
    """All may be missing: then the stack of $REELGATE_HOME is asked, with its demo log-in."""

    home: Path = Field(Path(".reelgate"), validation_alias="REELGATE_HOME")
    gateway_address: HostPort | None = Field(None, validation_alias="REELGATE_GATEWAY_ADDRESS")
    storage_address: HostPort | None = Field(None, validation_alias="REELGATE_STORAGE_ADDRESS")
    quota_address: HostPort | None = Field(None, validation_alias="REELGATE_QUOTA_ADDRESS")
    email: str = Field("", validation_alias="REELGATE_EMAIL")
    password: SecretStr = Field(SecretStr(""), validation_alias="REELGATE_PASSWORD")
    signing_key_file: Path | None = Field(
        None, validation_alias="REELGATE_GATEWAY_SIGNING_KEY_FILE"
    )
    no_color: str = Field("", validation_alias="NO_COLOR")

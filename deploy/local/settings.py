"""What the person who starts the stack may choose, from the environment and a `.env` file."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dotenv import dotenv_values

from deploy.local.process import StartError

DEFAULT_HOME = ".reelgate"
# An S3 of the user's own is known by any of these; then none is started here.
_S3_OF_THE_USER = (
    "S3_ENDPOINT",
    "S3_BUCKET_NAME",
    "R2_ACCOUNT_ID",
    "R2_BUCKET_NAME",
    "R2_BUCKET",
    "R2_ENDPOINT",
)


@dataclass(frozen=True, slots=True)
class Settings:
    """``environment`` holds every variable of the user's; it wins over all defaults of the stack.

    A port of 0 means any free one.
    """

    home: Path
    bff_port: int
    gateway_port: int
    database_url: str | None = field(repr=False)
    own_s3: bool
    environment: Mapping[str, str] = field(repr=False)


def read(home: Path | None = None, extra: Mapping[str, str] | None = None) -> Settings:
    """The settings in force: ``extra`` over the process environment over `.env`.

    Raises StartError naming the variable that is wrong.
    """
    file = {name: value for name, value in dotenv_values(".env").items() if value is not None}
    environment = {**file, **os.environ, **(extra or {})}
    # Set on some machines, it would make every start compile every module again.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    # Not for the services: each gets an address of its own role.
    database_url = environment.pop("DATABASE_URL", None)
    return Settings(
        home=(home or Path(environment.get("REELGATE_HOME") or DEFAULT_HOME)).resolve(),
        bff_port=_port(environment, "REELGATE_BFF_PORT", 8080),
        gateway_port=_port(environment, "REELGATE_GATEWAY_PORT", 8081),
        database_url=database_url or None,
        own_s3=any(environment.get(name) for name in _S3_OF_THE_USER),
        environment=environment,
    )


def _port(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name) or str(default)
    if not text.isdecimal() or int(text) > 65535:
        raise StartError(
            f"{name}: must be a port number from 0 (any free one) to 65535, not {text!r}"
        )
    return int(text)

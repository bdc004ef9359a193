"""Settings: read once at the start, from the environment, a `.env` file, or files named by `NAME_FILE`.

A wrong one stops the start with one line that names the variable and what it must look like.
"""

import os
import re
import sys
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn, TypeVar

from pydantic import AfterValidator, AliasChoices, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

_BAD_SETTING_EXIT_CODE: Final = 78  # EX_CONFIG of sysexits.h


def _host_port(value: str) -> str:
    match = re.fullmatch(r"(\[[0-9a-fA-F:]+\]|[^:\s/]+):(\d{1,5})", value)
    if match is None or int(match[2]) > 65535:
        raise ValueError("must be host:port, for example 127.0.0.1:9000")
    return value


def _database_url(value: SecretStr) -> SecretStr:
    if not re.match(r"postgres(ql)?://", value.get_secret_value()):
        raise ValueError(
            "must be a PostgreSQL URL, for example postgresql://user:password@host:5432/name"
        )
    return value


HostPort = Annotated[str, AfterValidator(_host_port)]
DatabaseUrl = Annotated[SecretStr, AfterValidator(_database_url)]


def environment_names(name: str, field: FieldInfo) -> list[str]:
    """The variables that a field is read from, the preferred one first."""
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        return [choice for choice in alias.choices if isinstance(choice, str)]
    return [alias if isinstance(alias, str) else name]


class _SecretFiles(PydanticBaseSettingsSource):
    """`NAME_FILE=/run/secrets/x` stands for `NAME=<what is in it>`."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        for name in environment_names(field_name, field):
            path = os.environ.get(f"{name}_FILE")
            # A field that is itself called …_FILE keeps its path.
            if path and name not in os.environ:
                return Path(path).read_text().strip(), name, False
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for field_name, field in self.settings_cls.model_fields.items():
            value, name, _ = self.get_field_value(field, field_name)
            if value is not None:
                found[name] = value
        return found


class Settings(BaseSettings):
    """Base of each service's settings. Fields name their variable with `validation_alias`."""

    model_config = SettingsConfigDict(
        frozen=True, env_file=".env", extra="ignore", env_ignore_empty=True
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment first, then files of secrets, then `.env`."""
        return init_settings, env_settings, _SecretFiles(settings_cls), dotenv_settings


SettingsT = TypeVar("SettingsT", bound=Settings)


def load(settings_class: type[SettingsT]) -> SettingsT:
    """Reads the settings, or ends the process with one line on stderr that says what is wrong."""
    try:
        return settings_class()
    except ValidationError as problem:
        refuse(_one_line(settings_class, problem))
    except OSError as problem:
        refuse(
            f"{problem.filename}: this file is named by a setting and can not be read: {problem.strerror}"
        )


def refuse(line: str) -> NoReturn:
    """Ends the process because of a bad setting."""
    print(f"reelgate: {line}", file=sys.stderr, flush=True)
    sys.exit(_BAD_SETTING_EXIT_CODE)


def _one_line(settings_class: type[Settings], problem: ValidationError) -> str:
    first = problem.errors(include_url=False, include_input=False)[0]
    place = str(first["loc"][0]) if first["loc"] else ""
    for name, field in settings_class.model_fields.items():
        names = environment_names(name, field)
        if place in (name, *names):
            place = names[0]
            break
    if first["type"] == "missing":
        return f"{place} is not set, and there is no default for it"
    return f"{place}: {first['msg'].removeprefix('Value error, ')}" if place else first["msg"]

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
    SettingsError,
)

_BAD_SETTING_EXIT_CODE: Final = 78  # EX_CONFIG of sysexits.h
_HOST: Final = r"(?:\[[0-9a-fA-F:.]+\]|[^\s/?#@:,\[\]]+)"
_HOST_PORT: Final = re.compile(rf"{_HOST}:(\d{{1,5}})")
# [user[:password]@][host[:port][,…]][/database][?options]: as libpq reads it, which names the whole address
# (with the password) when it does not understand it.
_DATABASE_URL: Final = re.compile(
    rf"postgres(?:ql)?://(?:[^\s/?#@]*@)?{_HOST}?(?::\d{{1,5}})?(?:,{_HOST}?(?::\d{{1,5}})?)*"
    r"(?:/[^\s/?#]*)?(?:\?[^\s#]*)?"
)


def _host_port(value: str) -> str:
    match = _HOST_PORT.fullmatch(value)
    if match is None or int(match[1]) > 65535:
        raise ValueError("must be host:port, for example 127.0.0.1:9000")
    return value


def _database_url(value: SecretStr) -> SecretStr:
    if _DATABASE_URL.fullmatch(value.get_secret_value()) is None:
        raise ValueError(
            "must be a PostgreSQL URL, for example postgresql://user:password@host:5432/name "
            "(write / ? # @ and spaces in a password as %2F %3F %23 %40 %20)"
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


class _BadSetting(Exception):
    """The message is the line that `load` ends the process with."""


class _SecretFiles(PydanticBaseSettingsSource):
    """`NAME_FILE=/run/secrets/x` stands for `NAME=<what is in it>`."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        for name in environment_names(field_name, field):
            # A field that is itself called …_FILE keeps its path. An empty variable or file is one not set.
            path = os.environ.get(f"{name}_FILE")
            if path and not os.environ.get(name):
                return _content(f"{name}_FILE", Path(path)) or None, name, False
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for field_name, field in self.settings_cls.model_fields.items():
            value, name, _ = self.get_field_value(field, field_name)
            if value is not None:
                found[name] = value
        return found


def _content(variable: str, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as problem:
        raise _BadSetting(f"{variable}: {path} can not be read: {problem.strerror}") from None
    except UnicodeDecodeError:
        raise _BadSetting(f"{variable}: {path} is not a text file") from None


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
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the base's signature
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
    except _BadSetting as problem:
        refuse(str(problem))
    except SettingsError as problem:
        # 'error parsing value for field "name" from source "EnvSettingsSource"'
        field = str(problem).partition('"')[2].partition('"')[0]
        refuse(f"{_variable(settings_class, field)}: must be JSON")


def refuse(line: str) -> NoReturn:
    """Ends the process because of a bad setting."""
    sys.stderr.write(f"reelgate: {line}\n")
    sys.exit(_BAD_SETTING_EXIT_CODE)


def _variable(settings_class: type[Settings], place: str) -> str:
    for name, field in settings_class.model_fields.items():
        names = environment_names(name, field)
        if place in (name, *names):
            return names[0]
    return place


def _one_line(settings_class: type[Settings], problem: ValidationError) -> str:
    first = problem.errors(include_url=False, include_input=False)[0]
    if not first["loc"]:
        return first["msg"].removeprefix("Value error, ")
    place = _variable(settings_class, str(first["loc"][0]))
    if first["type"] == "missing":
        return f"{place} is not set, and there is no default for it"
    return f"{place}: {first['msg'].removeprefix('Value error, ')}"

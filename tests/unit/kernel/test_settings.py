"""A wrong setting stops the start with one line that names the variable, and never shows a secret."""

from pathlib import Path
from typing import Annotated

import pytest
from pydantic import AliasChoices, Field, SecretStr, model_validator

from services.kernel.settings import DatabaseUrl, HostPort, Settings, load, refuse

GOOD = {
    "REELGATE_PROBE_LISTEN": "127.0.0.1:9000",
    "REELGATE_PROBE_DATABASE_URL": "postgresql://probe:hunter2@db:5432/probe",
    "REELGATE_PROBE_SECRET": "correct horse",
}


class Probe(Settings):
    listen: HostPort = Field(validation_alias="REELGATE_PROBE_LISTEN")
    database_url: DatabaseUrl = Field(validation_alias="REELGATE_PROBE_DATABASE_URL")
    secret: SecretStr = Field(validation_alias="REELGATE_PROBE_SECRET")
    key_file: Path = Field(default=Path("key.pem"), validation_alias="REELGATE_PROBE_KEY_FILE")
    direct_url: DatabaseUrl | None = Field(
        default=None,
        validation_alias=AliasChoices("REELGATE_PROBE_DIRECT_URL", "OLD_PROBE_DIRECT_URL"),
    )
    lease_seconds: Annotated[float, Field(gt=0)] = Field(
        default=10, validation_alias="REELGATE_PROBE_LEASE_SECONDS"
    )
    parts: list[int] = Field(default=[], validation_alias="REELGATE_PROBE_PARTS")

    @model_validator(mode="after")
    def _fits(self) -> "Probe":
        if self.lease_seconds > 100 and not self.parts:
            raise ValueError("REELGATE_PROBE_PARTS: needed for so long a lease")
        return self


@pytest.fixture(autouse=True)
def _environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)


def refusal(capfd: pytest.CaptureFixture[str]) -> str:
    """The one line that the start is stopped with."""
    with pytest.raises(SystemExit) as stopped:
        load(Probe)
    assert stopped.value.code == 78
    out, line = capfd.readouterr()
    assert out == ""
    assert line.startswith("reelgate: ")
    assert line.endswith("\n")
    assert line.count("\n") == 1
    for secret in ("hunter2", "correct horse"):
        assert secret not in line
    return line.removeprefix("reelgate: ").rstrip()


def test_settings_come_from_the_environment() -> None:
    settings = load(Probe)
    assert settings.listen == "127.0.0.1:9000"
    assert settings.database_url.get_secret_value() == GOOD["REELGATE_PROBE_DATABASE_URL"]
    assert settings.secret.get_secret_value() == "correct horse"
    assert settings.lease_seconds == 10


def test_settings_show_no_secret_when_they_are_printed() -> None:
    settings = load(Probe)
    for text in (str(settings), repr(settings), str(settings.model_dump())):
        assert "hunter2" not in text
        assert "correct horse" not in text
        assert "127.0.0.1:9000" in text


def test_settings_can_not_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        setattr(load(Probe), "lease_seconds", 1)  # noqa: B010 - mypy knows that it can not be


def test_a_missing_one_is_named(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REELGATE_PROBE_SECRET")
    assert refusal(capfd) == "REELGATE_PROBE_SECRET is not set, and there is no default for it"


def test_an_empty_one_is_a_missing_one(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REELGATE_PROBE_SECRET", "")
    assert refusal(capfd).startswith("REELGATE_PROBE_SECRET is not set")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("REELGATE_PROBE_LISTEN", "9000", "must be host:port"),
        ("REELGATE_PROBE_LISTEN", "host:port", "must be host:port"),
        ("REELGATE_PROBE_LISTEN", "host:70000", "must be host:port"),
        ("REELGATE_PROBE_LISTEN", "http://host:80", "must be host:port"),
        ("REELGATE_PROBE_LISTEN", "::1:80", "must be host:port"),
        ("REELGATE_PROBE_LEASE_SECONDS", "soon", "number"),
        ("REELGATE_PROBE_LEASE_SECONDS", "0", "greater than 0"),
        ("REELGATE_PROBE_DATABASE_URL", "mysql://probe:hunter2@db/probe", "PostgreSQL URL"),
        ("REELGATE_PROBE_DATABASE_URL", "host=db password=hunter2", "PostgreSQL URL"),
        ("REELGATE_PROBE_DATABASE_URL", "postgresql://probe:hunter2@db:port/x", "PostgreSQL URL"),
        ("REELGATE_PROBE_DATABASE_URL", "postgresql://probe:hunter2/#?@db/x", "%2F"),
        ("REELGATE_PROBE_DATABASE_URL", "postgresql://probe:hunter2 @db/x", "%20"),
        ("REELGATE_PROBE_DIRECT_URL", "postgres:hunter2", "PostgreSQL URL"),
        ("OLD_PROBE_DIRECT_URL", "postgres:hunter2", "PostgreSQL URL"),
        ("REELGATE_PROBE_PARTS", "one,two", "must be JSON"),
        ("REELGATE_PROBE_PARTS", '["hunter2"]', "integer"),
    ],
)
def test_a_malformed_one_is_named_with_what_it_must_look_like(
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
    says: str,
) -> None:
    monkeypatch.setenv(name, value)
    variable, _, rest = refusal(capfd).partition(": ")
    assert variable == name.replace("OLD_", "REELGATE_")
    assert says in rest


def test_two_that_do_not_fit_together_are_named(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REELGATE_PROBE_LEASE_SECONDS", "200")
    assert refusal(capfd) == "REELGATE_PROBE_PARTS: needed for so long a lease"


@pytest.mark.parametrize(
    "url",
    [
        "postgres://db",
        "postgresql://",
        "postgresql:///probe?host=/run/postgresql",
        "postgresql://probe@db/probe",
        "postgresql://probe:p%40ss%2F@db:5432/probe?sslmode=require&options=-csearch_path%3Dprobe",
        "postgresql://probe@one:5432,two:5433/probe?target_session_attrs=read-write",
        "postgresql://probe@[::1]:5432/probe",
    ],
)
def test_a_database_url_may_be_any_that_postgresql_takes(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    from psycopg.conninfo import conninfo_to_dict

    conninfo_to_dict(url)
    monkeypatch.setenv("REELGATE_PROBE_DATABASE_URL", url)
    assert load(Probe).database_url.get_secret_value() == url


def test_an_endless_malformed_url_is_refused_at_once(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REELGATE_PROBE_DATABASE_URL", f"postgresql://{'a,:1' * 5_000} !")
    assert refusal(capfd).startswith("REELGATE_PROBE_DATABASE_URL")


def test_a_secret_may_lie_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text("from the file\n")
    monkeypatch.delenv("REELGATE_PROBE_SECRET")
    monkeypatch.setenv("REELGATE_PROBE_SECRET_FILE", str(tmp_path / "secret"))
    assert load(Probe).secret.get_secret_value() == "from the file"


def test_the_variable_itself_wins_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text("from the file\n")
    monkeypatch.setenv("REELGATE_PROBE_SECRET_FILE", str(tmp_path / "secret"))
    assert load(Probe).secret.get_secret_value() == "correct horse"
    monkeypatch.setenv("REELGATE_PROBE_SECRET", "")
    assert load(Probe).secret.get_secret_value() == "from the file"


def test_a_setting_that_is_itself_a_file_keeps_its_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REELGATE_PROBE_KEY_FILE", "/run/secrets/key.pem")
    assert load(Probe).key_file == Path("/run/secrets/key.pem")


def test_a_file_that_can_not_be_read_is_named_by_its_variable(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REELGATE_PROBE_SECRET")
    monkeypatch.setenv("REELGATE_PROBE_SECRET_FILE", str(tmp_path / "missing"))
    assert refusal(capfd).startswith("REELGATE_PROBE_SECRET_FILE: ")

    (tmp_path / "binary").write_bytes(bytes(range(256)))
    monkeypatch.setenv("REELGATE_PROBE_SECRET_FILE", str(tmp_path / "binary"))
    assert refusal(capfd).endswith("is not a text file")

    (tmp_path / "empty").write_text("\n")
    monkeypatch.setenv("REELGATE_PROBE_SECRET_FILE", str(tmp_path / "empty"))
    assert refusal(capfd).startswith("REELGATE_PROBE_SECRET is not set")


def test_a_malformed_value_in_a_file_is_named_too(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "url").write_text("postgresql://probe:hunter2@db:x/probe")
    monkeypatch.delenv("REELGATE_PROBE_DATABASE_URL")
    monkeypatch.setenv("REELGATE_PROBE_DATABASE_URL_FILE", str(tmp_path / "url"))
    assert refusal(capfd).startswith("REELGATE_PROBE_DATABASE_URL: must be a PostgreSQL URL")


def test_a_dotenv_file_is_read_and_the_environment_wins_over_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text(
        "REELGATE_PROBE_SECRET=from dotenv\nREELGATE_PROBE_LEASE_SECONDS=3\nOTHER=1\n"
    )
    settings = load(Probe)
    assert settings.lease_seconds == 3
    assert settings.secret.get_secret_value() == "correct horse"
    monkeypatch.delenv("REELGATE_PROBE_SECRET")
    assert load(Probe).secret.get_secret_value() == "from dotenv"


def test_a_service_can_refuse_a_setting_of_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        refuse("REELGATE_PROBE_LISTEN: the port is taken")
    assert stopped.value.code == 78
    assert capfd.readouterr().err == "reelgate: REELGATE_PROBE_LISTEN: the port is taken\n"

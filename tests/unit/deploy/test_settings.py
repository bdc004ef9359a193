"""What the person who starts the stack may choose."""

from pathlib import Path

import pytest

from deploy.local import settings
from deploy.local.process import StartError


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("REELGATE_HOME", "REELGATE_BFF_PORT", "DATABASE_URL", "S3_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def test_without_any_setting_the_documented_defaults_hold(tmp_path: Path) -> None:
    found = settings.read()
    assert found.home == tmp_path / ".reelgate"
    assert (found.bff_port, found.gateway_port) == (8080, 8081)
    assert found.database_url is None
    assert not found.own_s3


def test_the_environment_wins_over_the_dotenv_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("REELGATE_BFF_PORT=9001\nREELGATE_GATEWAY_PORT=9002\n")
    monkeypatch.setenv("REELGATE_BFF_PORT", "9003")
    found = settings.read()
    assert (found.bff_port, found.gateway_port) == (9003, 9002)


@pytest.mark.parametrize("value", ["http", "-1", "65536", "80.5"])
def test_a_wrong_port_is_refused_with_its_variable_named(value: str) -> None:
    with pytest.raises(StartError, match="REELGATE_BFF_PORT"):
        settings.read(extra={"REELGATE_BFF_PORT": value})


@pytest.mark.parametrize("name", ["S3_ENDPOINT", "S3_BUCKET_NAME", "R2_ACCOUNT_ID"])
def test_an_s3_of_the_users_own_is_noticed(name: str) -> None:
    assert settings.read(extra={name: "x"}).own_s3


def test_children_may_keep_compiled_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    assert "PYTHONDONTWRITEBYTECODE" not in settings.read().environment


def test_the_administrators_database_address_is_not_for_the_services() -> None:
    found = settings.read(extra={"DATABASE_URL": "postgresql://admin@db/x"})
    assert found.database_url == "postgresql://admin@db/x"
    assert "DATABASE_URL" not in found.environment

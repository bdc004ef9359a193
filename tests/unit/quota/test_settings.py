"""A wrong setting stops the start with one line that names it and says what it must look like."""

from pathlib import Path

import pytest

from services.kernel.settings import load
from services.quota.settings import QuotaSettings

RIGHT = {
    "REELGATE_QUOTA_LISTEN": "127.0.0.1:9101",
    "REELGATE_QUOTA_ADMIN_LISTEN": "127.0.0.1:9102",
    "REELGATE_QUOTA_DATABASE_URL": "postgresql://quota:secret@127.0.0.1/reelgate",
    "REELGATE_JWKS_FILE": "/etc/reelgate/jwks.json",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # no .env of somebody's
    for name, value in RIGHT.items():
        monkeypatch.setenv(name, value)
    for name in (
        "DEFAULT_BYTES",
        "NEW_USER_CREDITS",
        "DIRECT_URL",
        "POOL_SIZE",
        "MIGRATE_ON_START",
    ):
        monkeypatch.delenv(f"REELGATE_QUOTA_{name}", raising=False)


def test_the_four_that_have_no_default_are_enough() -> None:
    settings = load(QuotaSettings)
    assert settings.default_bytes == 0
    assert settings.new_user_credits == 1000
    assert settings.migrate_on_start
    assert settings.migration_url == RIGHT["REELGATE_QUOTA_DATABASE_URL"]
    assert "secret" not in repr(settings)


def test_migrations_go_round_the_pooler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REELGATE_QUOTA_DIRECT_URL", "postgresql://direct/reelgate")
    assert load(QuotaSettings).migration_url == "postgresql://direct/reelgate"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("REELGATE_QUOTA_LISTEN", "nowhere"),
        ("REELGATE_QUOTA_ADMIN_LISTEN", ""),
        ("REELGATE_QUOTA_DATABASE_URL", "mysql://db"),
        ("REELGATE_QUOTA_DEFAULT_BYTES", "-2"),
        ("REELGATE_QUOTA_DEFAULT_BYTES", "lots"),
        ("REELGATE_QUOTA_NEW_USER_CREDITS", "-1"),
        ("REELGATE_QUOTA_NEW_USER_CREDITS", str(2**53 + 1)),
        ("REELGATE_QUOTA_POOL_SIZE", "0"),
        ("REELGATE_JWKS_FILE", ""),
    ],
)
def test_a_wrong_one_is_named(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit) as stopped:
        load(QuotaSettings)
    assert stopped.value.code == 78
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert variable in line

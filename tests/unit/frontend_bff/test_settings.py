"""A wrong setting stops the start with one line that names the variable."""

import os
from pathlib import Path

import pytest

from services.frontend_bff.settings import Settings
from services.kernel.settings import load

_GOOD = {
    "REELGATE_GATEWAY_ADDRESS": "127.0.0.1:1",
    "REELGATE_STORAGE_ADDRESS": "127.0.0.1:2",
    "REELGATE_QUOTA_ADDRESS": "127.0.0.1:3",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing but what the test sets."""
    for name in [name for name in os.environ if name.startswith("REELGATE_")]:
        monkeypatch.delenv(name)
    for name, value in _GOOD.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)


def test_three_addresses_are_enough() -> None:
    settings = load(Settings)

    assert settings.listen == "127.0.0.1:8080"
    assert settings.web_dir.parts[-2:] == ("web", "dist")
    assert not settings.is_https


def test_a_public_url_decides_about_https(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REELGATE_PUBLIC_URL", "https://Reelgate.example/")
    settings = load(Settings)

    assert settings.public_url == "https://reelgate.example"
    assert settings.is_https


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("REELGATE_GATEWAY_ADDRESS", "", "REELGATE_GATEWAY_ADDRESS is not set"),
        ("REELGATE_BFF_LISTEN", "nowhere", "REELGATE_BFF_LISTEN: must be host:port"),
        ("REELGATE_PUBLIC_URL", "reelgate.example", "REELGATE_PUBLIC_URL: must be scheme://host"),
        ("REELGATE_PUBLIC_URL", "https://x/app", "REELGATE_PUBLIC_URL: must be scheme://host"),
        ("REELGATE_PUBLIC_URL", "http://[x", "REELGATE_PUBLIC_URL: "),
        ("REELGATE_BFF_CORS_ORIGINS", "*", "REELGATE_BFF_CORS_ORIGINS: must be scheme://host"),
    ],
)
def test_a_wrong_one_is_named(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str,
    line: str,
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit):
        load(Settings)

    (said,) = capsys.readouterr().err.splitlines()
    assert line in said

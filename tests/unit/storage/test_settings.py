"""E2: the environment's names, their aliases, and what is refused."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from services.storage.settings import StorageSettings

BASE = {
    "REELGATE_STORAGE_DATABASE_URL": "postgresql://u:p@h/d",
    "REELGATE_STORAGE_LOCAL_DIR": "/somewhere",
    "REELGATE_JWKS_FILE": "/keys.json",
}
R2 = {
    "R2_ACCOUNT_ID": "acc",
    "R2_BUCKET_NAME": "b",
    "R2_ACCESS_KEY_ID": "i",
    "R2_SECRET_ACCESS_KEY": "s",
}
S3 = {
    "S3_ENDPOINT": "http://127.0.0.1:9000/",
    "S3_BUCKET_NAME": "b",
    "S3_ACCESS_KEY_ID": "i",
    "S3_SECRET_ACCESS_KEY": "s",
}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # without anybody's .env


def read(monkeypatch: pytest.MonkeyPatch, **environment: str) -> StorageSettings:
    for name, value in {**BASE, **environment}.items():
        monkeypatch.setenv(name, value)
    return StorageSettings()


def test_e2_r2_needs_only_its_account(monkeypatch: pytest.MonkeyPatch) -> None:
    target = read(monkeypatch, **R2, R2_PUBLIC_URL="https://cdn.example.com/").s3_settings().usable
    assert target is not None
    assert target.endpoint == "https://acc.r2.cloudflarestorage.com"
    assert (target.region, target.bucket, target.access_key_id) == ("auto", "b", "i")
    assert target.cdn_url == "https://cdn.example.com"


def test_e2_short_forms_mean_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    short = {"R2_ACCOUNT_ID": "acc", "R2_BUCKET": "b", "R2_ACCESS_KEY": "i", "R2_SECRET_KEY": "s"}
    target = read(monkeypatch, **short).s3_settings().usable
    assert target is not None
    assert (target.bucket, target.access_key_id, target.secret_access_key) == ("b", "i", "s")
    assert "secret_access_key='s'" not in repr(target)


@pytest.mark.parametrize("alias", ["R2_BUCKET", "R2_ACCESS_KEY", "R2_SECRET_KEY"])
def test_e2_an_alias_with_another_value_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, alias: str
) -> None:
    with pytest.raises(ValidationError, match=alias):
        read(monkeypatch, **R2, **{alias: "other"})


def test_e2_s3_by_its_names(monkeypatch: pytest.MonkeyPatch) -> None:
    target = read(monkeypatch, **S3, S3_PREFIX="x/", CDN_URL="https://cdn").s3_settings().usable
    assert target is not None
    assert (target.endpoint, target.region, target.prefix) == (
        "http://127.0.0.1:9000",
        "us-east-1",
        "x/",
    )
    assert target.path_style
    assert target.cdn_url == "https://cdn"


def test_e2_aws_needs_no_endpoint_and_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    target = read(monkeypatch, S3_BUCKET_NAME="b", S3_REGION="eu-west-1").s3_settings().usable
    assert target is not None
    assert target.endpoint == "https://s3.eu-west-1.amazonaws.com"
    assert target.access_key_id == ""
    assert not target.path_style


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"S3_ENDPOINT": "http://127.0.0.1:9000"},
        {**S3, "S3_SECRET_ACCESS_KEY": ""},
        {**R2, "USE_R2_STORAGE": "false"},
        {**R2, "STORAGE_PROVIDER": "s3"},
        {"R2_ACCOUNT_ID": "acc", "STORAGE_PROVIDER": "r2"},
    ],
)
def test_e1_what_is_incomplete_or_switched_off_is_not_used(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    assert read(monkeypatch, **environment).s3_settings().usable is None


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"S3_ENDPOINT": "ftp://x"}, "S3_ENDPOINT"),
        ({"REELGATE_EGRESS_PRIVATE_ORIGINS": "nonsense"}, "REELGATE_EGRESS_PRIVATE_ORIGINS"),
        ({"REELGATE_STORAGE_LOCAL_DIR": ""}, "REELGATE_STORAGE_LOCAL_DIR"),
        ({"REELGATE_STORAGE_LISTEN": "9000"}, "REELGATE_STORAGE_LISTEN"),
        ({"REELGATE_STORAGE_PART_BYTES": "1024"}, "REELGATE_STORAGE_PART_BYTES"),
        ({"REELGATE_STORAGE_MAX_OBJECT_BYTES": str(1 << 50)}, "REELGATE_STORAGE_BUFFER_BYTES"),
        ({"STORAGE_PROVIDER": "gcs"}, "STORAGE_PROVIDER"),
    ],
)
def test_a_wrong_setting_is_named(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], named: str
) -> None:
    with pytest.raises(ValidationError, match=named):
        read(monkeypatch, **environment)

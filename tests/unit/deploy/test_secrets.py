"""The secrets of a local stack."""

import json
import re
import stat
from pathlib import Path

from deploy.local import secrets


def test_secrets_stay_the_same_from_start_to_start(tmp_path: Path) -> None:
    assert secrets.load(tmp_path) == secrets.load(tmp_path)


def test_two_homes_share_no_secret(tmp_path: Path) -> None:
    one, other = (secrets.load(tmp_path / name) for name in ("one", "other"))
    assert one.postgres != other.postgres
    assert one.demo_password != other.demo_password
    assert one.encryption_keys != other.encryption_keys
    assert one.storage_encryption_keys != other.storage_encryption_keys


def test_what_one_service_sealed_no_other_can_open(tmp_path: Path) -> None:
    made = secrets.load(tmp_path)
    assert made.encryption_keys != made.storage_encryption_keys


def test_databases_of_two_homes_share_no_password(tmp_path: Path) -> None:
    one, other = (secrets.load(tmp_path / name) for name in ("one", "other"))
    assert not set(one.database.values()) & set(other.database.values())


def test_only_their_owner_reads_them(tmp_path: Path) -> None:
    secrets.load(tmp_path / "secrets")
    modes = {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "secrets").iterdir()}
    assert modes == {0o600}
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700


def test_they_do_not_show_when_printed(tmp_path: Path) -> None:
    made = secrets.load(tmp_path)
    assert made.demo_password not in repr(made)


def test_the_demo_key_has_256_random_bits(tmp_path: Path) -> None:
    assert re.fullmatch(r"rg-[A-Za-z0-9_-]{43}", secrets.load(tmp_path).demo_api_key)


def test_the_public_keys_hold_no_private_part(tmp_path: Path) -> None:
    [key] = json.loads(secrets.load(tmp_path).jwks_file.read_text())["keys"]
    assert key["crv"] == "Ed25519"
    assert "d" not in key

"""What each service of the local stack is told."""

from pathlib import Path

import pytest

from deploy.local import addresses, plan, secrets, settings
from deploy.local.environments import Environments
from deploy.local.s3 import S3

_ADMIN_URL = "postgresql://postgres:admin@127.0.0.1:5555/reelgate"


def _environments(home: Path, *, with_s3: bool = True, **env: str) -> Environments:
    chosen = settings.read(home, {"REELGATE_BFF_PORT": "0", "REELGATE_GATEWAY_PORT": "0", **env})
    places = addresses.choose(chosen, ())
    s3 = S3(home / "s3", places.s3, "id", "secret") if with_s3 else None
    return Environments(
        home, chosen.environment, places, secrets.load(home / "secrets"), _ADMIN_URL, s3
    )


@pytest.mark.parametrize("name", ["gateway", "storage", "quota"])
def test_each_service_gets_an_address_of_its_own_role_only(tmp_path: Path, name: str) -> None:
    environment = _environments(tmp_path).of(name)
    url = environment[f"REELGATE_{name.upper()}_DATABASE_URL"]
    assert url.startswith(f"postgresql://{name}:")
    assert not any("postgres:admin" in value for value in environment.values())


def test_what_the_user_sets_wins_over_the_defaults(tmp_path: Path) -> None:
    environments = _environments(
        tmp_path, REELGATE_STORAGE_LOCAL_DIR="/elsewhere", REELGATE_STORAGE_LOCAL_ENABLED="false"
    )
    environment = environments.of("storage")
    assert environment["REELGATE_STORAGE_LOCAL_DIR"] == "/elsewhere"
    assert environment["REELGATE_STORAGE_LOCAL_ENABLED"] == "false"


def test_with_an_s3_of_the_users_own_no_default_mixes_in(tmp_path: Path) -> None:
    environment = _environments(tmp_path, with_s3=False, S3_ENDPOINT="https://s3.example")
    assert environment.of("storage")["S3_ENDPOINT"] == "https://s3.example"
    assert "S3_ACCESS_KEY_ID" not in environment.of("storage")


def test_only_the_gateway_holds_the_signing_key(tmp_path: Path) -> None:
    environments = _environments(tmp_path)
    holders = {
        name
        for tier in plan.TIERS
        for name in tier
        if "REELGATE_GATEWAY_SIGNING_KEY_FILE" in environments.of(name)
    }
    assert holders == {"gateway", "gateway_edge", "gateway_worker"}


def test_storage_can_seal_secrets_and_knows_where_its_pages_come_from(tmp_path: Path) -> None:
    environments = _environments(tmp_path)
    storage = environments.of("storage")
    assert storage["REELGATE_STORAGE_ENCRYPTION_KEYS"].startswith("local1:")
    assert storage["REELGATE_PUBLIC_URL"] == environments.of("frontend_bff")["REELGATE_PUBLIC_URL"]
    assert "REELGATE_STORAGE_ENCRYPTION_KEYS" not in environments.of("gateway")


def test_everybody_agrees_on_the_addresses(tmp_path: Path) -> None:
    environments = _environments(tmp_path)
    bff, gateway, storage = map(environments.of, ("frontend_bff", "gateway", "storage"))
    assert (
        bff["REELGATE_STORAGE_ADDRESS"]
        == gateway["REELGATE_STORAGE_ADDRESS"]
        == storage["REELGATE_STORAGE_LISTEN"]
    )
    assert gateway["REELGATE_GATEWAY_SEED_STUDIO_URL"] in gateway["REELGATE_EGRESS_PRIVATE_ORIGINS"]


def test_what_is_announced_is_what_the_services_were_told(tmp_path: Path) -> None:
    environments = _environments(tmp_path, REELGATE_GATEWAY_SEED_EMAIL="me@example.com")
    ready = plan.ready(environments)
    assert ready.email == "me@example.com"
    assert ready.grpc["quota"] == environments.of("quota")["REELGATE_QUOTA_LISTEN"]
    assert ready.s3["endpoint"] == environments.of("storage")["S3_ENDPOINT"]

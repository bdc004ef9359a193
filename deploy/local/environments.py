"""The environment of each service in a local stack: defaults, then what the user set."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.local.addresses import ADMIN_LISTEN, LISTEN, Addresses, url
from deploy.local.databases import address_for
from deploy.local.s3 import REGION, S3
from deploy.local.secrets import Secrets

ROOT = Path(__file__).resolve().parents[2]
DEMO_EMAIL = "demo@example.com"


@dataclass(frozen=True, slots=True)
class Environments:
    """``given`` is the user's environment; ``database_url`` an administrator's address of the database."""

    home: Path
    given: Mapping[str, str]
    addresses: Addresses
    secrets: Secrets
    database_url: str
    s3: S3 | None

    def of(self, name: str) -> dict[str, str]:
        """All variables of the process with this name."""
        defaults = {
            "studio": self._studio,
            "quota": self._quota,
            "storage": self._storage,
            "gateway": self._gateway,
            "gateway_edge": self._gateway,
            "gateway_worker": self._gateway,
            "frontend_bff": self._bff,
        }[name]
        return {
            **self._listen(name, LISTEN, self.addresses.listen),
            "REELGATE_JWKS_FILE": str(self.secrets.jwks_file),
            # So that a gRPC client at the terminal can ask what there is.
            "REELGATE_GRPC_REFLECTION": "true",
            **defaults(),
            **self.given,
            **self._listen(name, ADMIN_LISTEN, self.addresses.admin),
            "PYTHONPATH": f"{ROOT}:{ROOT / 'protos' / 'gen'}",
            "PYTHONSAFEPATH": "1",
            "PYTHONUNBUFFERED": "1",
        }

    @staticmethod
    def _listen(
        name: str, variables: Mapping[str, str], address: Callable[[str], str]
    ) -> dict[str, str]:
        return {variables[name]: address(name)} if name in variables else {}

    def _studio(self) -> dict[str, str]:
        return {
            "REELGATE_STUDIO_DIR": str(self.home / "studio"),
            "REELGATE_STUDIO_API_KEY": self.secrets.studio_api_key,
        }

    def _quota(self) -> dict[str, str]:
        return self._database("quota")

    def _storage(self) -> dict[str, str]:
        return {
            **self._database("storage"),
            "REELGATE_STORAGE_LOCAL_DIR": str(self.home / "storage"),
            "REELGATE_STORAGE_ENCRYPTION_KEYS": self.secrets.storage_encryption_keys,
            "REELGATE_PUBLIC_URL": self._public_url(),
            # The supervisor does not wait for longer.
            "REELGATE_STORAGE_DRAIN_SECONDS": "10",
            "REELGATE_EGRESS_PRIVATE_ORIGINS": self._private_origins(),
            **self._s3(),
        }

    def _s3(self) -> dict[str, str]:
        if self.s3 is None:
            return {}
        return {
            "S3_ENDPOINT": self.s3.endpoint,
            "S3_REGION": REGION,
            "S3_BUCKET_NAME": self.s3.bucket,
            "S3_ACCESS_KEY_ID": self.s3.access_key_id,
            "S3_SECRET_ACCESS_KEY": self.s3.secret_access_key,
            "S3_FORCE_PATH_STYLE": "true",
        }

    def _gateway(self) -> dict[str, str]:
        return {
            **self._database("gateway"),
            "REELGATE_GATEWAY_SIGNING_KEY_FILE": str(self.secrets.signing_key_file),
            "REELGATE_GATEWAY_ENCRYPTION_KEYS": self.secrets.encryption_keys,
            "REELGATE_STORAGE_ADDRESS": self.addresses.listen("storage"),
            "REELGATE_QUOTA_ADDRESS": self.addresses.listen("quota"),
            "REELGATE_EGRESS_PRIVATE_ORIGINS": self._private_origins(),
            "REELGATE_GATEWAY_SEED_EMAIL": DEMO_EMAIL,
            "REELGATE_GATEWAY_SEED_PASSWORD": self.secrets.demo_password,
            "REELGATE_GATEWAY_SEED_API_KEY": self.secrets.demo_api_key,
            "REELGATE_GATEWAY_SEED_STUDIO_URL": url(self.addresses.listen("studio")),
            "REELGATE_GATEWAY_SEED_STUDIO_KEY": self.secrets.studio_api_key,
        }

    def _bff(self) -> dict[str, str]:
        return {
            "REELGATE_GATEWAY_ADDRESS": self.addresses.listen("gateway"),
            "REELGATE_STORAGE_ADDRESS": self.addresses.listen("storage"),
            "REELGATE_QUOTA_ADDRESS": self.addresses.listen("quota"),
            "REELGATE_PUBLIC_URL": self._public_url(),
            "REELGATE_BFF_WEB_DIR": str(ROOT / "services" / "frontend_bff" / "web" / "dist"),
        }

    def _public_url(self) -> str:
        return url(self.addresses.listen("frontend_bff"))

    def _database(self, schema: str) -> dict[str, str]:
        address = address_for(self.database_url, schema, self.secrets.database[schema])
        return {f"REELGATE_{schema.upper()}_DATABASE_URL": address}

    def _private_origins(self) -> str:
        # Loopback addresses that our own services must be able to call.
        origins = [url(self.addresses.listen("studio"))]
        if self.s3:
            origins.append(self.s3.endpoint)
        return ",".join(origins)

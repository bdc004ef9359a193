"""The secrets of a local stack: generated at its first start, kept in files that only their owner reads."""

import base64
import json
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

SCHEMAS = ("gateway", "storage", "quota")


@dataclass(frozen=True, slots=True, repr=False)
class Secrets:
    """Every secret of one home. The encryption keys are `kid:base64`; ``database`` has a password a role."""

    signing_key_file: Path
    jwks_file: Path
    encryption_keys: str
    storage_encryption_keys: str
    postgres: str
    database: dict[str, str] = field(default_factory=dict)
    s3_access_key_id: str = ""
    s3_secret_access_key: str = ""
    studio_api_key: str = ""
    demo_password: str = ""
    demo_api_key: str = ""


def load(directory: Path) -> Secrets:
    """The secrets in a directory; those that are missing are made."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def kept(name: str, make: Callable[[], str]) -> str:
        return _read_or_make(directory / name, make)

    signing_key = kept("signing_key.pem", _signing_key)
    kept("jwks.json", lambda: _public_keys(signing_key))
    return Secrets(
        signing_key_file=directory / "signing_key.pem",
        jwks_file=directory / "jwks.json",
        encryption_keys=kept("encryption_keys", _encryption_key),
        storage_encryption_keys=kept("storage_encryption_keys", _encryption_key),
        postgres=kept("postgres_password", _password),
        database={role: kept(f"{role}_password", _password) for role in SCHEMAS},
        s3_access_key_id=kept("s3_access_key_id", lambda: secrets.token_hex(10)),
        s3_secret_access_key=kept("s3_secret_access_key", _password),
        studio_api_key=kept("studio_api_key", lambda: f"studio-{_password()}"),
        demo_password=kept("demo_password", lambda: secrets.token_urlsafe(12)),
        # 32 random bytes are 43 characters of base64url.
        demo_api_key=kept("demo_api_key", lambda: f"rg-{secrets.token_urlsafe(32)}"),
    )


def _signing_key() -> str:
    # Imported only when a key is made: cryptography takes a third of a second, at every start.
    from services.kernel.tokens import generate_signing_key  # noqa: PLC0415 - see above

    return generate_signing_key()


def _public_keys(signing_key: str) -> str:
    from services.kernel.tokens import public_jwks  # noqa: PLC0415 - as above

    return json.dumps(public_jwks(signing_key), indent=2)


def _password() -> str:
    return secrets.token_urlsafe(24)


def _encryption_key() -> str:
    return f"local1:{base64.b64encode(secrets.token_bytes(32)).decode()}"


def _read_or_make(file: Path, make: Callable[[], str]) -> str:
    try:
        return file.read_text().strip()
    except FileNotFoundError:
        secret = make()
        write_private(file, secret)
        return secret.strip()


def write_private(file: Path, text: str) -> None:
    """Write a file that only its owner reads, whole or not at all."""
    unfinished = file.with_name(f".{file.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as opened:
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())
    unfinished.replace(file)

"""Signed tokens (JWT, EdDSA): who calls, for whom, until when.

One algorithm, one issuer, an audience for each service.
"""

import base64
import json
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import jwt
import structlog
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.hashes import SHA256, Hash

from services.kernel.context import Caller
from services.kernel.errors import Unauthenticated

log = structlog.get_logger()

ISSUER: Final = "reelgate-gateway"
_ALGORITHM: Final = "EdDSA"
_CLOCK_SKEW_SECONDS: Final = 5
_CACHE_SIZE: Final = 16_384


def generate_signing_key() -> str:
    """A new Ed25519 private key as PEM (PKCS#8, not encrypted)."""
    return (
        Ed25519PrivateKey.generate()
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        .decode()
    )


def public_jwks(*private_pems: str) -> dict[str, list[dict[str, str]]]:
    """The JSON Web Key Set (RFC 8037) with the public half of each key."""
    return {"keys": [_jwk(_load(pem).public_key()) for pem in private_pems]}


def _load(private_pem: str) -> Ed25519PrivateKey:
    key = serialization.load_pem_private_key(private_pem.encode(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("the signing key must be an Ed25519 private key in PEM form")  # noqa: TRY004 - a bad setting
    return key


def _jwk(key: Ed25519PublicKey) -> dict[str, str]:
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    digest = Hash(SHA256())
    digest.update(raw)
    return {
        "kty": "OKP",
        "crv": "Ed25519",
        "alg": _ALGORITHM,
        "use": "sig",
        "kid": _base64url(digest.finalize()[:12]),
        "x": _base64url(raw),
    }


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Signer:
    """Makes tokens. Only the gateway holds one."""

    def __init__(self, private_pem: str) -> None:
        self._key = _load(private_pem)
        self._kid = _jwk(self._key.public_key())["kid"]

    def sign(
        self,
        subject: str,
        *,
        audience: Iterable[str],
        lifetime_seconds: float,
        role: str = "user",
        actor: str = "",
        scopes: Iterable[str] = (),
        api_key_id: str = "",
    ) -> str:
        """A token for `subject`, valid for the services named in `audience`."""
        now = time.time()
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "sub": subject,
            "aud": sorted(audience),
            "iat": int(now),
            "exp": now + lifetime_seconds,
            "role": role,
        }
        if actor:
            claims["act"] = {"sub": actor}
        if scope := " ".join(sorted(scopes)):
            claims["scope"] = scope
        if api_key_id:
            claims["key"] = api_key_id
        return jwt.encode(claims, self._key, _ALGORITHM, headers={"kid": self._kid})


class Verifier:
    """Checks tokens against the public keys in a file.

    The file is read again when it has changed and a token names a key that is not known yet. Raises ValueError
    when it is no key set at the start.
    """

    def __init__(self, jwks_file: Path, audience: str) -> None:
        self._file = jwks_file
        self._audience = audience
        self._changed_at = jwks_file.stat().st_mtime_ns
        self._keys = self._read()
        # Whole tokens are the key, so that one can not pass for another. A hit saves checking a signature.
        self._seen: OrderedDict[str, Caller] = OrderedDict()

    def verify(self, token: str) -> Caller:
        """Who the token speaks for. Raises Unauthenticated."""
        seen = self._seen.get(token)
        if seen is not None and seen.expires_at > time.time():
            return seen
        caller = self._verify(token)
        self._seen[token] = caller
        if len(self._seen) > _CACHE_SIZE:
            self._seen.popitem(last=False)
        return caller

    def _verify(self, token: str) -> Caller:
        try:
            claims = jwt.decode(
                token,
                self._key(jwt.get_unverified_header(token).get("kid", "")),
                algorithms=[_ALGORITHM],
                audience=self._audience,
                issuer=ISSUER,
                leeway=_CLOCK_SKEW_SECONDS,
                options={"require": ["exp", "iat", "sub", "aud", "iss"]},
            )
        except jwt.ExpiredSignatureError:
            raise Unauthenticated(
                "The token has expired. Log in again.", reason="TOKEN_EXPIRED"
            ) from None
        except jwt.PyJWTError:
            raise _invalid() from None
        if not _is_canonical(token.rpartition(".")[2]):
            raise _invalid()
        return Caller(
            subject=claims["sub"],
            role=claims.get("role", "user"),
            actor=claims.get("act", {}).get("sub", ""),
            scopes=frozenset(claims.get("scope", "").split()),
            expires_at=float(claims["exp"]),
            api_key_id=claims.get("key", ""),
        )

    def _key(self, kid: str) -> jwt.PyJWK:
        key = self._keys.get(kid)
        if key is None and self._reread():
            key = self._keys.get(kid)
        if key is None:
            raise jwt.InvalidKeyError
        return key

    def _reread(self) -> bool:
        """Reads the file if it has changed; true if it did. Anybody can make us look by naming a key."""
        try:
            changed_at = self._file.stat().st_mtime_ns
            if changed_at == self._changed_at:
                return False
            self._keys = self._read()
        except (OSError, ValueError) as error:
            log.warning("jwks_unreadable", file=str(self._file), error=str(error))
            return False
        self._changed_at = changed_at
        # What a key signed that is gone now counts no longer.
        self._seen.clear()
        return True

    def _read(self) -> Mapping[str, jwt.PyJWK]:
        try:
            keys = json.loads(self._file.read_text())["keys"]
            return {key["kid"]: jwt.PyJWK(key, _ALGORITHM) for key in keys}
        except (ValueError, LookupError, TypeError, jwt.PyJWTError) as error:
            raise ValueError(f"{self._file} is not a JSON Web Key Set of Ed25519 keys") from error


def _is_canonical(signature: str) -> bool:
    # Base64 has spare bits and its decoder skips odd characters: one signature could be spelt in many ways.
    return _base64url(base64.urlsafe_b64decode(f"{signature}==")) == signature


def _invalid() -> Unauthenticated:
    return Unauthenticated("The token is not valid. Log in again.", reason="TOKEN_INVALID")

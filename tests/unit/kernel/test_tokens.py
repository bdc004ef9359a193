"""Tokens: who calls is believed only when the gateway signed it, for this service, not long ago."""

import base64
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from hypothesis import given
from hypothesis import strategies as st

from services.kernel import tokens
from services.kernel.errors import Unauthenticated
from services.kernel.tokens import Signer, Verifier, generate_signing_key, public_jwks

USER = "0199a0a0-0000-7000-8000-00000000000a"
PEM = generate_signing_key()
TOKENS = [
    Signer(PEM).sign(
        f"user-{number}",
        audience=["quota"],
        lifetime_seconds=86_400,  # however long the other tests take
        role=("user", "admin")[number % 2],
    )
    for number in range(6)
]


def write(file: Path, *pems: str) -> None:
    file.write_text(json.dumps(public_jwks(*pems)))


@pytest.fixture(scope="module")
def jwks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("keys") / "jwks.json"
    write(file, PEM)
    return file


@pytest.fixture
def verifier(jwks: Path) -> Verifier:
    return Verifier(jwks, "quota")


def token(**changes: Any) -> str:
    given: dict[str, Any] = {"audience": ["quota"], "lifetime_seconds": 60, **changes}
    return Signer(PEM).sign(USER, **given)


def forged(header: dict[str, Any] | None = None, pem: str = PEM, **claims: Any) -> str:
    """A token with any header and any claims, signed with `pem`."""
    own_key = load_pem_private_key(pem.encode(), None)
    assert isinstance(own_key, Ed25519PrivateKey)
    now = time.time()
    good = {"iss": tokens.ISSUER, "sub": USER, "aud": ["quota"], "iat": int(now), "exp": now + 60}
    kid = jwt.get_unverified_header(token())["kid"]
    body = {key: value for key, value in {**good, **claims}.items() if value is not None}
    return jwt.encode(body, own_key, "EdDSA", headers={"kid": kid, **(header or {})})


def reason(verifier: Verifier, text: str) -> str:
    with pytest.raises(Unauthenticated) as refused:
        verifier.verify(text)
    assert text == "" or text not in refused.value.message
    return refused.value.reason


def test_a_token_says_who_calls_for_whom_and_what_he_may(verifier: Verifier) -> None:
    text = token(role="admin", actor="gateway", scopes=["b", "a"], api_key_id="key-7")
    caller = verifier.verify(text)
    assert (caller.subject, caller.role, caller.actor) == (USER, "admin", "gateway")
    assert caller.scopes == {"a", "b"}
    assert caller.api_key_id == "key-7"
    assert caller.expires_at == pytest.approx(time.time() + 60, abs=5)
    assert caller.is_admin
    assert caller.is_service


def test_a_plain_token_is_a_user_who_acts_himself(verifier: Verifier) -> None:
    caller = verifier.verify(token())
    assert not caller.is_admin
    assert not caller.is_service
    assert caller.scopes == frozenset()


def test_a_token_for_two_services_is_believed_by_both_and_by_no_third(jwks: Path) -> None:
    text = token(audience=["quota", "storage"])
    assert Verifier(jwks, "quota").verify(text) == Verifier(jwks, "storage").verify(text)
    assert reason(Verifier(jwks, "gateway"), text) == "TOKEN_INVALID"


def test_an_expired_token_is_refused_and_says_so(verifier: Verifier) -> None:
    assert reason(verifier, token(lifetime_seconds=-6)) == "TOKEN_EXPIRED"


def test_a_cached_token_expires_too(verifier: Verifier, monkeypatch: pytest.MonkeyPatch) -> None:
    text = token(lifetime_seconds=60)
    verifier.verify(text)
    later = time.time() + 70
    monkeypatch.setattr(time, "time", lambda: later)
    monkeypatch.setattr(jwt.api_jwt, "datetime", _At(later), raising=False)
    assert reason(verifier, text) == "TOKEN_EXPIRED"


class _At:
    """Stands for the class `datetime` at one moment."""

    def __init__(self, now: float) -> None:
        self._now = now

    def now(self, tz: Any = None) -> Any:
        from datetime import UTC, datetime

        return datetime.fromtimestamp(self._now, tz or UTC)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: "", id="nothing"),
        pytest.param(lambda: "a.b", id="two parts"),
        pytest.param(lambda: "a.b.c", id="not base64"),
        pytest.param(lambda: "é.ü.€", id="not ascii"),
        pytest.param(lambda: token(audience=["storage"]), id="for another service"),
        pytest.param(lambda: token(audience=[]), id="for nobody"),
        pytest.param(lambda: forged(iss="somebody"), id="of another issuer"),
        pytest.param(lambda: forged(iss=None), id="of no issuer"),
        pytest.param(lambda: forged(sub=None), id="about nobody"),
        pytest.param(lambda: forged(sub=7), id="about a number"),
        pytest.param(lambda: forged(exp=None), id="for ever"),
        pytest.param(lambda: forged(iat=None), id="without a date"),
        pytest.param(lambda: forged(iat=time.time() + 3600), id="from tomorrow"),
        pytest.param(lambda: forged(pem=generate_signing_key()), id="signed by another key"),
        pytest.param(lambda: forged(header={"kid": "other"}), id="with an unknown key id"),
        pytest.param(
            lambda: forged(header={"kid": "../../etc/passwd"}), id="with a path as key id"
        ),
        pytest.param(
            lambda: jwt.encode({"sub": USER, "aud": "quota"}, "x" * 32, "HS256"),
            id="with a shared secret",
        ),
    ],
)
def test_any_other_token_is_refused(verifier: Verifier, make: Callable[[], str]) -> None:
    # Made now, not when the tests were collected: a long run would find it expired.
    assert reason(verifier, make()) == "TOKEN_INVALID"


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "HS256", "RS256", "ES256", ""])
def test_the_algorithm_a_token_names_is_not_believed(verifier: Verifier, algorithm: str) -> None:
    head, body, signature = token().split(".")
    header = json.loads(base64.urlsafe_b64decode(f"{head}=="))
    header["alg"] = algorithm
    changed = base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()
    for tail in ("", signature):
        assert reason(verifier, f"{changed}.{body}.{tail}") == "TOKEN_INVALID"


def test_the_public_key_is_no_shared_secret(verifier: Verifier) -> None:
    public = public_jwks(PEM)["keys"][0]
    claims = {"iss": tokens.ISSUER, "sub": USER, "aud": "quota", "iat": 1, "exp": 9_999_999_999}
    for secret in (public["x"], base64.urlsafe_b64decode(f"{public['x']}=")):
        text = jwt.encode(claims, secret, "HS256", headers={"kid": public["kid"]})
        assert reason(verifier, text) == "TOKEN_INVALID"


@given(st.data())
def test_any_flipped_bit_is_refused(jwks: Path, data: st.DataObject) -> None:
    good = TOKENS[0]
    verifier = Verifier(jwks, "quota")
    if data.draw(st.booleans()):
        verifier.verify(good)  # a cached neighbour changes nothing
    changed = bytearray(good.encode())
    bit = data.draw(st.integers(0, len(changed) * 8 - 1))
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Unauthenticated):
        verifier.verify(changed.decode("latin-1"))


def test_every_spelling_of_the_last_character_but_one_is_refused(verifier: Verifier) -> None:
    good = token()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=! "
    for last in alphabet:
        if last != good[-1]:
            assert reason(verifier, good[:-1] + last) == "TOKEN_INVALID"
    assert reason(verifier, f"{good}=") == "TOKEN_INVALID"
    assert reason(verifier, f"{good[:-3]}!{good[-3:]}") == "TOKEN_INVALID"


@given(st.lists(st.sampled_from(range(6)), min_size=1, max_size=40))
def test_the_cache_never_mixes_two_tokens(jwks: Path, order: list[int]) -> None:
    verifier = Verifier(jwks, "quota")
    for number in order:
        caller = verifier.verify(TOKENS[number])
        assert (caller.subject, caller.role) == (f"user-{number}", ("user", "admin")[number % 2])


def test_the_cache_is_bounded(verifier: Verifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_CACHE_SIZE", 3)
    for _ in range(2):
        for text in TOKENS:
            verifier.verify(text)
    assert len(verifier._seen) == 3


def test_a_new_key_is_found_without_a_restart_and_a_removed_one_counts_no_longer(
    tmp_path: Path,
) -> None:
    file, new_pem = tmp_path / "jwks.json", generate_signing_key()
    write(file, PEM)
    verifier = Verifier(file, "quota")
    old = token()
    verifier.verify(old)
    new = Signer(new_pem).sign(USER, audience=["quota"], lifetime_seconds=60)
    assert reason(verifier, new) == "TOKEN_INVALID"

    write(file, new_pem)
    assert verifier.verify(new).subject == USER
    assert reason(verifier, old) == "TOKEN_INVALID"


def test_an_unknown_key_id_does_not_read_an_unchanged_file_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "jwks.json"
    write(file, PEM)
    verifier = Verifier(file, "quota")
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: pytest.fail("read again"))
    assert reason(verifier, forged(header={"kid": "unknown"})) == "TOKEN_INVALID"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"keys": [{"kty": "RSA"}]}', '{"keys": 1}'])
def test_a_broken_file_stops_the_start_but_not_a_running_service(
    tmp_path: Path, content: str
) -> None:
    file = tmp_path / "jwks.json"
    file.write_text(content)
    with pytest.raises(ValueError, match="not a JSON Web Key Set"):
        Verifier(file, "quota")

    write(file, PEM)
    verifier = Verifier(file, "quota")
    file.write_text(content)
    assert reason(verifier, forged(header={"kid": "unknown"})) == "TOKEN_INVALID"
    assert verifier.verify(token()).subject == USER


def test_the_published_keys_hold_no_private_part() -> None:
    (key,) = public_jwks(PEM)["keys"]
    assert set(key) == {"kty", "crv", "alg", "use", "kid", "x"}
    assert len(base64.urlsafe_b64decode(key["x"] + "=")) == 32


def test_only_an_ed25519_key_signs() -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    other = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    with pytest.raises(ValueError, match="Ed25519"):
        Signer(other.decode())

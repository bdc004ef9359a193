"""Secrets at rest: AES-256-GCM, bound to their row, with keys that rotate."""

import base64
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.sealing import KeyRing, SealBroken


def key(byte: int) -> str:
    return base64.b64encode(bytes([byte]) * 32).decode()


RING = KeyRing(f"k1:{key(1)}")
PLACE = {"table": "accounts", "row": "0199", "column": "api_key"}


@given(st.binary(max_size=300))
def test_what_is_sealed_comes_back_and_is_not_readable(secret: bytes) -> None:
    sealed = RING.seal(secret, **PLACE)
    assert RING.unseal(sealed, **PLACE) == secret
    assert len(secret) < 4 or secret not in sealed


def test_the_same_secret_is_sealed_differently_each_time() -> None:
    assert len({RING.seal(b"secret", **PLACE) for _ in range(100)}) == 100


@given(st.binary(max_size=60), st.data())
def test_a_single_changed_bit_breaks_the_seal(secret: bytes, data: st.DataObject) -> None:
    sealed = bytearray(RING.seal(secret, **PLACE))
    bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SealBroken):
        RING.unseal(bytes(sealed), **PLACE)


@given(st.binary(max_size=120))
def test_random_bytes_are_not_a_seal(noise: bytes) -> None:
    with pytest.raises(SealBroken):
        RING.unseal(noise, **PLACE)


def test_a_shortened_seal_is_broken_wherever_it_is_cut() -> None:
    sealed = RING.seal(b"secret", **PLACE)
    for length in range(len(sealed)):
        with pytest.raises(SealBroken):
            RING.unseal(sealed[:length], **PLACE)


@pytest.mark.parametrize(
    "other",
    [
        {"table": "webhooks", "row": "0199", "column": "api_key"},
        {"table": "accounts", "row": "0200", "column": "api_key"},
        {"table": "accounts", "row": "0199", "column": "token"},
        {"table": "account", "row": "s0199", "column": "api_key"},
    ],
)
def test_a_ciphertext_moved_to_another_place_is_refused(other: dict[str, str]) -> None:
    with pytest.raises(SealBroken):
        RING.unseal(RING.seal(b"secret", **PLACE), **other)


def test_a_key_is_rotated_by_putting_a_new_one_in_front() -> None:
    sealed_before = RING.seal(b"secret", **PLACE)
    rotated = KeyRing(f"k2:{key(2)}, k1:{key(1)}")
    sealed_after = rotated.seal(b"secret", **PLACE)

    assert rotated.unseal(sealed_before, **PLACE) == b"secret"
    assert rotated.unseal(sealed_after, **PLACE) == b"secret"
    with pytest.raises(SealBroken):
        RING.unseal(sealed_after, **PLACE)
    with pytest.raises(SealBroken):
        KeyRing(f"k2:{key(2)}").unseal(sealed_before, **PLACE)


def test_another_key_under_the_same_id_does_not_open_it() -> None:
    with pytest.raises(SealBroken):
        KeyRing(f"k1:{key(9)}").unseal(RING.seal(b"secret", **PLACE), **PLACE)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "key 1"),
        ("k1", "key 1"),
        (f":{key(1)}", "key 1"),
        (f"k1:{key(1)},", "key 2"),
        (f"k1:{key(1)},k1:{key(2)}", "twice"),
        ("k1:", "k1"),
        ("k1:c2hvcnQ=", "32 bytes"),
        (f"k1:{key(1)}!", "32 bytes"),
        (f"k1:{base64.b64encode(bytes(31)).decode()}", "32 bytes"),
        (f"{'k' * 256}:{key(1)}", "key 1"),
    ],
)
def test_a_bad_ring_is_refused_in_words_that_show_no_key(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as refused:
        KeyRing(text)
    assert key(1) not in str(refused.value)
    assert "c2hvcnQ=" not in str(refused.value)


def test_a_ring_shows_no_key_when_it_is_printed() -> None:
    secret = os.urandom(32)
    ring = KeyRing(f"k1:{base64.b64encode(secret).decode()}")
    assert base64.b64encode(secret).decode() not in repr(ring)
    assert base64.b64encode(secret).decode() not in str(vars(ring))

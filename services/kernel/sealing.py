"""Secrets at rest: AES-256-GCM, bound to the row they belong to, with keys that can be rotated."""

import base64
import binascii
import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_VERSION: Final = 1
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_KEY_ID_BYTES: Final = 255


class SealBroken(Exception):
    """This was changed, belongs to another row, or was sealed with a key that is not known."""


class KeyRing:
    """Seals with the first key and opens with any: to rotate, put a new key in front and keep the old ones.

    `text` is `kid:base64,kid2:base64`, each key 32 bytes. Raises ValueError that never shows a key.
    """

    def __init__(self, text: str) -> None:
        self._keys: dict[bytes, AESGCM] = {}
        for number, entry in enumerate(text.split(","), start=1):
            kid, colon, key = entry.strip().partition(":")
            if not colon or not 1 <= len(kid.encode()) <= _KEY_ID_BYTES:
                raise ValueError(f"key {number} must be written id:base64 of {_KEY_BYTES} bytes")
            if kid.encode() in self._keys:
                raise ValueError(f"the key id {kid} is there twice")
            self._keys[kid.encode()] = AESGCM(_key(kid, key))
        self._current = next(iter(self._keys))

    def seal(self, plaintext: bytes, *, table: str, row: str, column: str) -> bytes:
        """Version (1 byte), length of the key id (1 byte), key id, nonce (12 bytes), ciphertext with tag."""
        nonce = os.urandom(_NONCE_BYTES)
        head = bytes((_VERSION, len(self._current))) + self._current
        place = _place(head, table, row, column)
        return head + nonce + self._keys[self._current].encrypt(nonce, plaintext, place)

    def unseal(self, sealed: bytes, *, table: str, row: str, column: str) -> bytes:
        """What was sealed for this very place. Raises SealBroken."""
        if len(sealed) < 2 or sealed[0] != _VERSION:
            raise SealBroken
        head = sealed[: 2 + sealed[1]]
        nonce = sealed[len(head) : len(head) + _NONCE_BYTES]
        key = self._keys.get(head[2:])
        if key is None or len(nonce) < _NONCE_BYTES:
            raise SealBroken
        try:
            return key.decrypt(
                nonce, sealed[len(head) + _NONCE_BYTES :], _place(head, table, row, column)
            )
        except InvalidTag:
            raise SealBroken from None


def _key(kid: str, text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != _KEY_BYTES:
        raise ValueError(f"the key {kid} must be the base64 of {_KEY_BYTES} bytes")
    return key


def _place(head: bytes, *names: str) -> bytes:
    # Lengths in front, so that no two places are written alike.
    parts = [head, *(name.encode() for name in names)]
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)

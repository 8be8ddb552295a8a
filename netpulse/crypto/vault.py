"""Secrets at rest: AES-256-GCM, bound to the place they are stored in."""

from __future__ import annotations

import hashlib
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from netpulse.crypto.keys import derive
from netpulse.crypto.tokens import Digester

_VERSION = b"\x01"
_KEY_ID_BYTES = 4
_NONCE_BYTES = 12
_TAG_BYTES = 16
_HEADER_BYTES = len(_VERSION) + _KEY_ID_BYTES
_CHECK_CONTEXT = "meta|vault_check|-|-"
_CHECK_PLAIN = b"netpulse"


class SealBroken(Exception):
    """A sealed value does not open: damaged, moved to another place, or sealed with another key."""


class Vault:
    """Seals and opens secrets with one key derived from the master key.

    A sealed value is: 1 byte version, 4 bytes key id, 12 bytes random nonce, ciphertext, 16 bytes
    tag. Header and context are authenticated with it, so that a value copied to another row,
    column, table or organization does not open there.
    """

    __slots__ = ("_cipher", "_digester", "_header")

    def __init__(self, master: bytes) -> None:
        """Take the 32-byte master key."""
        key = derive(master, "vault")
        self._cipher = AESGCM(key)
        self._digester = Digester(derive(master, "found-tokens"))
        self._header = _VERSION + hashlib.sha256(b"key id" + key).digest()[:_KEY_ID_BYTES]

    def seal(self, plain: bytes, context: str) -> bytes:
        """Return `plain` sealed for `context` ("table|column|row|org")."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        bound = self._header + context.encode()
        return self._header + nonce + self._cipher.encrypt(nonce, plain, bound)

    def open(self, sealed: bytes, context: str) -> bytes:
        """Return what was sealed for `context`.

        Raises:
            SealBroken: it does not open; the text says which context, never what is in it.
        """
        if len(sealed) < _HEADER_BYTES + _NONCE_BYTES + _TAG_BYTES:
            raise SealBroken(f"the sealed value of {context} is cut short")
        if sealed[:1] != _VERSION:
            raise SealBroken(f"the sealed value of {context} has an unknown format")
        if sealed[:_HEADER_BYTES] != self._header:
            raise SealBroken(f"the sealed value of {context} was sealed with another key")
        nonce = sealed[_HEADER_BYTES : _HEADER_BYTES + _NONCE_BYTES]
        try:
            return self._cipher.decrypt(
                nonce, sealed[_HEADER_BYTES + _NONCE_BYTES :], self._header + context.encode()
            )
        except InvalidTag:
            raise SealBroken(f"the sealed value of {context} is damaged") from None

    def digest(self, token: str) -> str:
        """Return by what a sealed token is found: its HMAC-SHA-256, in lower-case hex."""
        return self._digester.digest(token)

    def check_value(self) -> bytes:
        """Return a sealed constant; kept with the data, it tells later whether the key fits."""
        return self.seal(_CHECK_PLAIN, _CHECK_CONTEXT)

    def accepts(self, check_value: bytes) -> bool:
        """Tell whether `check_value` was made with this vault's key."""
        try:
            return self.open(check_value, _CHECK_CONTEXT) == _CHECK_PLAIN
        except SealBroken:
            return False

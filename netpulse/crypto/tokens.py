"""Random tokens, and the digests that are stored in their place."""

from __future__ import annotations

import hashlib
import hmac
import secrets


def new_token(nbytes: int = 32) -> str:
    """Return a fresh token of `nbytes` random bytes (at least 16) in base64url without padding.

    Raises:
        ValueError: fewer than 16 bytes (128 bits), which could be guessed.
    """
    if nbytes < 16:
        raise ValueError("a token needs at least 16 random bytes")
    return secrets.token_urlsafe(nbytes)


class Digester:
    """Turns tokens into what is stored: HMAC-SHA-256 under a key that is not in the database."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        """Take a key of 32 bytes (`keys.derive(master, …)`)."""
        self._key = key

    def digest(self, token: str) -> str:
        """Return the digest of `token` in lower-case hex; any text is taken, valid or not."""
        return hmac.new(
            self._key, token.encode("utf-8", "surrogatepass"), hashlib.sha256
        ).hexdigest()

    def matches(self, token: str, digest: str) -> bool:
        """Tell in constant time whether `token` has this `digest`."""
        return hmac.compare_digest(self.digest(token).encode(), digest.encode())

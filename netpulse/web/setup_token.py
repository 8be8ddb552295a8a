"""The one-time token that proves that whoever makes the first administrator can read the start's
output (or the data directory): without it, the first stranger to find the page would own it.
"""

from __future__ import annotations

import contextlib
import hmac
import os
from pathlib import Path

from netpulse.crypto.tokens import new_token


class SetupToken:
    """The token in force, if any, and the file it is kept in."""

    __slots__ = ("_path", "value")

    def __init__(self, path: Path, value: str | None) -> None:
        self._path = path
        self.value = value
        """What the start prints; None once it was used."""

    @classmethod
    def open(cls, path: Path, *, needed: bool) -> SetupToken:
        """Return the token kept at `path`, making it (mode 0600) where there is none yet.

        Not `needed` (there is a user already): the file is removed and no token is in force.

        Raises:
            OSError: the file can be neither read nor made.
        """
        if not needed:
            path.unlink(missing_ok=True)
            return cls(path, None)
        with contextlib.suppress(FileNotFoundError):
            kept = path.read_text(encoding="ascii", errors="replace").strip()
            if len(kept) >= 20:
                return cls(path, kept)
            path.unlink()
        token = new_token(24)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(token + "\n")
        return cls(path, token)

    def matches(self, given: str | None) -> bool:
        """Tell in constant time whether `given` is the token."""
        if self.value is None or not given:
            return False
        return hmac.compare_digest(given.strip().encode(), self.value.encode())

    def spend(self) -> None:
        """Forget the token: there is an administrator now."""
        self.value = None
        self._path.unlink(missing_ok=True)

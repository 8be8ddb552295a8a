"""What stands in place of a key that is not here: `serve --degraded` watches without it.

Nothing is sealed, opened, found by its digest or signed with any other key in its place: what was
would be lost with the right key. All of it is refused with `NoKey`, in this one place.
"""

from __future__ import annotations

from collections.abc import Mapping

from netpulse.crypto.keys import fresh
from netpulse.crypto.links import Links
from netpulse.crypto.tokens import Digester
from netpulse.crypto.vault import NoKey, Vault


class LostVault(Vault):
    """The vault of data whose key is not here. What is `derived` lasts as long as the process."""

    __slots__ = ("_why",)

    def __init__(self, why: str) -> None:
        """Take why there is no key, in a sentence for the operator."""
        super().__init__(fresh())
        self._why = why

    @property
    def why_lost(self) -> str | None:
        """Why there is no key."""
        return self._why

    def demand(self) -> None:
        """Raise NoKey."""
        raise NoKey

    def follow(self, check_value: bytes) -> bool:
        """Follow nothing: whatever key the data names comes with the next start."""
        del check_value
        return True

    def seal(self, plain: bytes, context: str) -> bytes:
        """Raise NoKey."""
        raise NoKey

    def open(self, sealed: bytes, context: str) -> bytes:
        """Raise NoKey."""
        raise NoKey

    def keep(self, keys: Mapping[str, bytes]) -> None:
        """Raise NoKey."""
        raise NoKey

    def kept(self, name: str) -> bytes:
        """Raise NoKey."""
        raise NoKey


class LostDigester(Digester):
    """Digests no token, and knows none."""

    __slots__ = ()

    def __init__(self) -> None:
        """Take no key."""
        super().__init__(b"")

    def digest(self, token: str) -> str:
        """Raise NoKey."""
        raise NoKey


class LostLinks(Links):
    """Knows the addresses of pages; makes and reads nothing that is signed."""

    __slots__ = ()

    def __init__(self, base_url: str) -> None:
        """Take the address that people use, as `Links` does."""
        super().__init__(b"", base_url)

    def signing_key(self, subscriber_id: str) -> bytes:
        """Raise NoKey."""
        raise NoKey

    def _tag(self, purpose: str, said: str) -> str:
        raise NoKey

"""What a backup says of itself: the manifest, which has no secret in it."""

from __future__ import annotations

from msgspec import Struct

FORMAT = 1
"""Of the archive: a later NetPulse reads this one, an earlier one refuses a later one."""


class BackedUp(Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a backup."""

    name: str
    """As it is called below the data directory, with forward slashes."""
    size: int
    """Bytes."""
    sha256: str


class Manifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The list of what is in a backup, and of which state it is."""

    format: int
    version: str
    """Of the NetPulse that made it."""
    layout: int
    """Of the main file (`PRAGMA user_version`)."""
    made_at: str
    """RFC 3339: when the main file was copied. Everything that must agree is in that file; the raw
    results were copied after it and may be a little younger."""
    files: tuple[BackedUp, ...]

    @property
    def size(self) -> int:
        """Return the bytes of all files, unpacked."""
        return sum(one.size for one in self.files)

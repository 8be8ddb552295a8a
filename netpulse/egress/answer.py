"""What the far side said to a post."""

from __future__ import annotations

from msgspec import Struct


class Answer(Struct, frozen=True):
    """What the far side said to a post."""

    status: int
    body: bytes
    """The first bytes of it, decoded; at most what the caller allowed."""
    retry_after: float | None = None
    """Seconds it asks us to wait, if it does (RFC 9110, 10.2.3)."""
    address: str | None = None
    """The address that was dialled."""

"""Addresses that messages carry: of pages, and of the page on which an incident is acknowledged.

A link to acknowledge is a capability: whoever has it may do that one thing, until it expires.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

from netpulse.model.ids import Id, is_id
from netpulse.model.time import DAY, SECOND, Millis

ACKNOWLEDGE_DAYS = 3
_TAG_BYTES = 16


class Links:
    """Makes and reads the links of one instance."""

    __slots__ = ("_base", "_key")

    def __init__(self, key: bytes, base_url: str) -> None:
        """Take a key of 32 bytes (`keys.derive(master, "links")`) and the address that people use
        (`[server] public_url`); without one, messages carry no links."""
        self._key = key
        self._base = base_url.rstrip("/")

    def page(self, path: str) -> str | None:
        """Return the address of a page (`path` begins with a slash), or None if unknown."""
        return f"{self._base}{path}" if self._base else None

    def acknowledge(
        self, incident_id: Id, channel_id: Id, *, now: Millis, days: int = ACKNOWLEDGE_DAYS
    ) -> str | None:
        """Return the address that acknowledges an incident for `days` from `now` on.

        It names the channel it was sent through, so that the story can say who used it.
        """
        return self.page(f"/acknowledge/{self.token(incident_id, channel_id, now + days * DAY)}")

    def token(self, incident_id: Id, channel_id: Id, until: Millis) -> str:
        """Return what stands behind /acknowledge/."""
        said = f"{incident_id}.{channel_id}.{until // SECOND}"
        return f"{said}.{self._tag(said)}"

    def read(self, token: str, *, now: Millis) -> tuple[Id, Id] | None:
        """Return the incident and the channel of a token that is ours and still valid, or None."""
        said, _, tag = token.rpartition(".")
        if not tag.isascii() or not hmac.compare_digest(self._tag(said).encode(), tag.encode()):
            return None
        incident_id, channel_id, until = said.split(".")
        if int(until) * SECOND < now or not is_id(incident_id) or not is_id(channel_id):
            return None
        return incident_id, channel_id

    def _tag(self, said: str) -> str:
        digest = hmac.digest(
            self._key, b"acknowledge/" + said.encode("utf-8", "surrogatepass"), hashlib.sha256
        )
        return base64.urlsafe_b64encode(digest[:_TAG_BYTES]).rstrip(b"=").decode()

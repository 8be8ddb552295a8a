"""Addresses that messages carry: of pages, of the page on which an incident is acknowledged, and of
those on which a subscription to a status page is confirmed and ended.

Each of the latter is a capability: whoever has it may do that one thing, an acknowledgement until
it expires. None of them is stored: what they say is signed.
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
        return self._signed("acknowledge", f"{incident_id}.{channel_id}.{until // SECOND}")

    def read(self, token: str, *, now: Millis) -> tuple[Id, Id] | None:
        """Return the incident and the channel of a token that is ours and still valid, or None."""
        said = self._read("acknowledge", token)
        if said is None:
            return None
        incident_id, channel_id, until = said.split(".")
        if int(until) * SECOND < now or not is_id(incident_id) or not is_id(channel_id):
            return None
        return incident_id, channel_id

    def subscription(self, subscriber_id: Id, act: str) -> str | None:
        """Return the address on which a subscriber of a status page does `act`: confirm or
        unsubscribe."""
        return self.page(f"/subscriptions/{self.subscription_token(subscriber_id)}/{act}")

    def subscription_token(self, subscriber_id: Id) -> str:
        """Return what stands behind /subscriptions/."""
        return self._signed("subscription", subscriber_id)

    def subscriber(self, token: str) -> Id | None:
        """Return the subscriber of a token that is ours, or None; it may have gone since."""
        said = self._read("subscription", token)
        return said if said is not None and is_id(said) else None

    def signing_key(self, subscriber_id: Id) -> bytes:
        """Return the 32 bytes with which messages to a subscriber's webhook are signed: it has
        nothing but this to tell them from anybody else's."""
        return hmac.digest(self._key, f"signing/{subscriber_id}".encode(), hashlib.sha256)

    def _signed(self, purpose: str, said: str) -> str:
        return f"{said}.{self._tag(purpose, said)}"

    def _read(self, purpose: str, token: str) -> str | None:
        """Return what a token says that was signed here for this purpose, or None."""
        said, _, tag = token.rpartition(".")
        wanted = self._tag(purpose, said)
        return (
            said if hmac.compare_digest(wanted.encode(), tag.encode("utf-8", "replace")) else None
        )

    def _tag(self, purpose: str, said: str) -> str:
        text = f"{purpose}/{said}".encode("utf-8", "surrogatepass")
        digest = hmac.digest(self._key, text, hashlib.sha256)
        return base64.urlsafe_b64encode(digest[:_TAG_BYTES]).rstrip(b"=").decode()

"""A channel: one way of telling somebody."""

from __future__ import annotations

from msgspec import Struct

from netpulse.model.ids import Id
from netpulse.model.time import Millis


class WebhookConfig(Struct, frozen=True, kw_only=True, tag_field="type", tag="webhook"):
    """A URL of the user's own that gets every edge as signed JSON (Standard Webhooks)."""

    url: str
    secret: str | None = None
    """`whsec_` and base64; null sends unsigned."""
    headers: dict[str, str] = {}


ChannelConfig = WebhookConfig
"""A tagged union once there is more than one kind; stored sealed, never in clear."""


class Channel(Struct, frozen=True, kw_only=True):
    """A configured channel, with its configuration opened (secrets in clear: never log one)."""

    id: Id
    org_id: Id
    name: str
    type: str
    config: ChannelConfig
    is_active: bool = True
    retry_for_seconds: int = 86_400
    max_attempts: int | None = None
    created_at: Millis
    version: int = 1
    damage: str | None = None
    """Set when the sealed configuration does not open: what is wrong. `config` is empty then."""

"""A channel: one way of telling somebody."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from netpulse.model.ids import Id
from netpulse.model.time import Millis


class WebhookConfig(Struct, frozen=True, kw_only=True, tag_field="type", tag="webhook"):
    """A URL of the user's own that gets every edge as signed JSON (Standard Webhooks)."""

    url: str
    secret: str | None = None
    """`whsec_` and base64; null sends unsigned."""
    headers: dict[str, str] = {}


class Smtp(Struct, frozen=True, kw_only=True, rename={"sender": "from"}):
    """A mail server of the channel's own, in place of the one in the configuration."""

    host: str
    port: int = 587
    user: str | None = None
    password: str | None = None
    sender: str | None = None
    """`from` in JSON."""
    security: str = "starttls"
    """starttls, tls or none."""


class EmailConfig(Struct, frozen=True, kw_only=True, tag_field="type", tag="email"):
    """Mail to one or more addresses."""

    to: tuple[str, ...]
    smtp: Smtp | None = None
    """None: the server in the configuration's `[smtp]`."""


class SlackConfig(Struct, frozen=True, kw_only=True, tag_field="type", tag="slack"):
    """A Slack incoming webhook."""

    webhook_url: str


class DiscordConfig(Struct, frozen=True, kw_only=True, tag_field="type", tag="discord"):
    """A Discord webhook."""

    webhook_url: str


class TeamsConfig(Struct, frozen=True, kw_only=True, tag_field="type", tag="teams"):
    """A Microsoft Teams workflow that posts to a channel."""

    webhook_url: str


class TelegramConfig(Struct, frozen=True, kw_only=True, tag_field="type", tag="telegram"):
    """A Telegram bot that writes into a chat."""

    bot_token: str
    chat_id: str
    api_url: str | None = None
    """None: Telegram's own."""


class SmsConfig(Struct, frozen=True, kw_only=True, tag_field="type", tag="sms"):
    """SMS through Twilio; what is None is taken from the configuration."""

    to: tuple[str, ...]
    sender: str | None = msgspec.field(default=None, name="from")
    account_sid: str | None = None
    auth_token: str | None = None
    api_url: str | None = None


class PagerDutyConfig(Struct, frozen=True, kw_only=True, tag_field="type", tag="pagerduty"):
    """An integration of PagerDuty's Events API v2."""

    routing_key: str
    api_url: str | None = None


class NtfyConfig(Struct, frozen=True, kw_only=True, tag_field="type", tag="ntfy"):
    """A topic of an ntfy server."""

    url: str
    topic: str
    token: str | None = None


class GotifyConfig(Struct, frozen=True, kw_only=True, tag_field="type", tag="gotify"):
    """An application of a Gotify server."""

    url: str
    token: str


class PushoverConfig(Struct, frozen=True, kw_only=True, tag_field="type", tag="pushover"):
    """A user or group of Pushover."""

    user: str
    token: str
    api_url: str | None = None


ChannelConfig = (
    WebhookConfig
    | EmailConfig
    | SlackConfig
    | DiscordConfig
    | TeamsConfig
    | TelegramConfig
    | SmsConfig
    | PagerDutyConfig
    | NtfyConfig
    | GotifyConfig
    | PushoverConfig
)
"""What a channel needs to know, by its type; stored sealed, never in clear."""

MACHINES = frozenset({"webhook", "pagerduty"})
"""Types that get every edge, singly and in order: never a digest, a muted flap or a collapsed
pair. The others are read by people."""


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
    disabled_at: Millis | None = None
    """When NetPulse switched it off because the far side refuses for good."""
    disabled_reason: str | None = None
    last_test_at: Millis | None = None
    last_test_ok: bool | None = None
    """Whether the far side took the latest test message."""
    damage: str | None = None
    """Set when the sealed configuration does not open: what is wrong. `config` is empty then."""

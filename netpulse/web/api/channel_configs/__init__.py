"""The configurations of channels by type: one entry here for each type there is."""

from __future__ import annotations

from typing import Any

from netpulse.model.channel import Channel, ChannelConfig, EmailConfig
from netpulse.rules import quotas, targets
from netpulse.web import reading
from netpulse.web.api.channel_configs.email import Email, EmailChannel, EmailChannelAnswer
from netpulse.web.api.channel_configs.gotify import Gotify, GotifyChannel, GotifyChannelAnswer
from netpulse.web.api.channel_configs.hooks import (
    Discord,
    DiscordChannel,
    DiscordChannelAnswer,
    Slack,
    SlackChannel,
    SlackChannelAnswer,
    Teams,
    TeamsChannel,
    TeamsChannelAnswer,
)
from netpulse.web.api.channel_configs.ntfy import Ntfy, NtfyChannel, NtfyChannelAnswer
from netpulse.web.api.channel_configs.pagerduty import (
    PagerDuty,
    PagerDutyChannel,
    PagerDutyChannelAnswer,
)
from netpulse.web.api.channel_configs.parts import CONFIG, ChannelAnswer, ChannelSpec, Kind
from netpulse.web.api.channel_configs.pushover import (
    Pushover,
    PushoverChannel,
    PushoverChannelAnswer,
)
from netpulse.web.api.channel_configs.sms import Sms, SmsChannel, SmsChannelAnswer
from netpulse.web.api.channel_configs.telegram import (
    Telegram,
    TelegramChannel,
    TelegramChannelAnswer,
)
from netpulse.web.api.channel_configs.webhook import Webhook, WebhookChannel, WebhookChannelAnswer
from netpulse.web.errors import Problem, invalid

KINDS: dict[str, Kind[Any, Any]] = {
    kind.word: kind
    for kind in (
        Webhook(),
        Email(),
        Slack(),
        Discord(),
        Teams(),
        Telegram(),
        Sms(),
        PagerDuty(),
        Ntfy(),
        Gotify(),
        Pushover(),
    )
}

AnySpec = (
    WebhookChannel
    | EmailChannel
    | SlackChannel
    | DiscordChannel
    | TeamsChannel
    | TelegramChannel
    | SmsChannel
    | PagerDutyChannel
    | NtfyChannel
    | GotifyChannel
    | PushoverChannel
)
"""A channel as it is sent, by its `type`."""

AnyAnswer = (
    WebhookChannelAnswer
    | EmailChannelAnswer
    | SlackChannelAnswer
    | DiscordChannelAnswer
    | TeamsChannelAnswer
    | TelegramChannelAnswer
    | SmsChannelAnswer
    | PagerDutyChannelAnswer
    | NtfyChannelAnswer
    | GotifyChannelAnswer
    | PushoverChannelAnswer
)
"""A channel as it is answered, by its `type`."""

_URLS = ("url", "webhook_url", "api_url")
"""The fields of configurations that say where messages go."""

__all__ = [
    "KINDS",
    "AnyAnswer",
    "AnySpec",
    "ChannelAnswer",
    "ChannelSpec",
    "destination",
    "kind_of",
    "private_problems",
    "read",
]


def kind_of(channel: Channel | AnySpec) -> Kind[Any, Any]:
    """Return the kind of a channel, by its `type`."""
    word = channel.type if isinstance(channel, Channel) else channel.__struct_config__.tag
    return KINDS[str(word)]


def destination(channel: Channel, *, for_admin: bool) -> str:
    """Return in a few words where a channel's messages go; "" where that cannot be read."""
    if channel.damage is not None:
        return ""
    return kind_of(channel).destination(channel.config, for_admin=for_admin)


def private_problems(config: ChannelConfig) -> list[Problem]:
    """Return where a channel of an organization without private targets would send to one, as far
    as its own words say; what a name leads to is refused when it is dialled."""
    hosts = [(name, _host(getattr(config, name, None))) for name in _URLS]
    if isinstance(config, EmailConfig) and config.smtp is not None:
        hosts.append(("smtp.host", config.smtp.host))
    found = [(name, quotas.unreachable(where)) for name, where in hosts if where]
    return [Problem(f"{CONFIG}.{name}", why) for name, why in found if why is not None]


def _host(url: str | None) -> str:
    try:
        return targets.url(url or "").raw_host or ""
    except targets.TargetError:
        return ""


def read(values: dict[str, Any]) -> AnySpec:
    """Return what was sent as a channel; read-only fields are gone from `values` already.

    Raises:
        ApiError: 400 with every field of a wrong type and every unknown and missing one.
    """
    word, config = values.get("type"), values.get("config")
    kind = KINDS.get(word) if isinstance(word, str) else None
    rest = {name: value for name, value in values.items() if name not in {"type", "config"}}
    problems = reading.type_problems(ChannelSpec, rest)
    if kind is None:
        raise invalid([Problem("$.type", _no_type(word)), *problems])
    if isinstance(config, dict):
        config = kind.without_read_only(config)
        problems += [
            Problem(CONFIG + problem.path.removeprefix("$"), problem.message)
            for problem in reading.type_problems(kind.spec, config)
        ]
    else:
        given = {"config": config} if "config" in values else {}
        found = reading.type_problems(kind.channel, given)
        problems += [problem for problem in found if problem.path == CONFIG]
    reading.at_least_one(problems)
    rest |= {"type": word, "config": config}
    return reading.into(kind.channel, rest)  # type: ignore[no-any-return]  # the Struct that its kind names


def _no_type(word: Any) -> str:
    if word is None:
        return "this field is required"
    if not isinstance(word, str):
        return "must be text"
    return f"{word[:50]!r} is none of {', '.join(KINDS)}"

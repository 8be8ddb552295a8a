"""slack, discord, teams: an incoming webhook of a chat, whose whole URL is the secret."""

from __future__ import annotations

from typing import Any, ClassVar

from msgspec import Struct
from msgspec.structs import replace

from netpulse.model.channel import DiscordConfig, SlackConfig, TeamsConfig
from netpulse.web.api.channel_configs.parts import (
    Address,
    ChannelAnswer,
    ChannelSpec,
    Keeping,
    Kind,
    host,
    stripped,
    url_problems,
)
from netpulse.web.errors import Problem


class HookSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An incoming webhook of a chat."""

    webhook_url: Address | None = None
    """Write-only, for whoever knows it may write there: null keeps what is stored."""


class HookAnswer(Struct, frozen=True, kw_only=True):
    """An incoming webhook without its URL."""

    webhook_url: None = None
    webhook_url_set: bool
    host: str
    """Where it leads to."""


class SlackChannel(ChannelSpec, frozen=True, kw_only=True, tag="slack"):
    """A Slack incoming webhook."""

    config: HookSpec


class DiscordChannel(ChannelSpec, frozen=True, kw_only=True, tag="discord"):
    """A Discord webhook."""

    config: HookSpec


class TeamsChannel(ChannelSpec, frozen=True, kw_only=True, tag="teams"):
    """A Microsoft Teams workflow that posts to a channel when a webhook request is received."""

    config: HookSpec


class SlackChannelAnswer(ChannelAnswer, frozen=True, kw_only=True, tag="slack"):
    """A Slack incoming webhook."""

    config: HookAnswer | None


class DiscordChannelAnswer(ChannelAnswer, frozen=True, kw_only=True, tag="discord"):
    """A Discord webhook."""

    config: HookAnswer | None


class TeamsChannelAnswer(ChannelAnswer, frozen=True, kw_only=True, tag="teams"):
    """A Microsoft Teams workflow."""

    config: HookAnswer | None


class Hook(Kind[HookSpec, Any]):
    """An incoming webhook; each chat is a class below."""

    spec = HookSpec
    secrets = ("webhook_url",)
    read_only = frozenset({"host"})

    def trimmed(self, spec: HookSpec) -> HookSpec:
        """Return it without the spaces around what was pasted."""
        return replace(spec, webhook_url=stripped(spec.webhook_url))

    def problems(self, spec: HookSpec) -> list[Problem]:
        """Return what is wrong with the URL."""
        return url_problems("webhook_url", spec.webhook_url or None)

    def merged(self, new: HookSpec, old: Any) -> Any:
        """Return what to store."""
        keeping = Keeping()
        url = keeping.needed("webhook_url", new.webhook_url, old and old.webhook_url)
        keeping.done()
        return self.config(webhook_url=url)

    def shown(self, config: Any, *, for_admin: bool) -> HookAnswer:
        """Return it as it is answered, which is the same for all."""
        del for_admin
        return HookAnswer(webhook_url_set=bool(config.webhook_url), host=host(config.webhook_url))

    def destination(self, config: Any, *, for_admin: bool) -> str:
        """Return the host."""
        del for_admin
        return host(config.webhook_url)


class Slack(Hook):
    """A Slack incoming webhook."""

    word: ClassVar[str] = "slack"
    config = SlackConfig
    channel = SlackChannel
    answer = SlackChannelAnswer


class Discord(Hook):
    """A Discord webhook."""

    word: ClassVar[str] = "discord"
    config = DiscordConfig
    channel = DiscordChannel
    answer = DiscordChannelAnswer


class Teams(Hook):
    """A Microsoft Teams workflow."""

    word: ClassVar[str] = "teams"
    config = TeamsConfig
    channel = TeamsChannel
    answer = TeamsChannelAnswer

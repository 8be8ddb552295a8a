"""pagerduty: the integration key of a service (Events API v2)."""

from __future__ import annotations

import re
from typing import ClassVar

from msgspec import Struct
from msgspec.structs import replace

from netpulse.model.channel import PagerDutyConfig
from netpulse.web.api.channel_configs.parts import (
    Address,
    ChannelAnswer,
    ChannelSpec,
    Keeping,
    Kind,
    Secret,
    host,
    moved,
    optional,
    stripped,
    text_problems,
    url_problems,
)
from netpulse.web.errors import Problem

_KEY = re.compile(r"[A-Za-z0-9]{32}")


class PagerDutySpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An integration of a service."""

    routing_key: Secret | None = None
    """The integration key, 32 signs. Write-only: null keeps what is stored."""
    api_url: Address | None = None
    """Null: PagerDuty's own, https://events.pagerduty.com."""


class PagerDutyAnswer(Struct, frozen=True, kw_only=True):
    """An integration without its key."""

    routing_key: None = None
    routing_key_set: bool
    api_url: str | None


class PagerDutyChannel(ChannelSpec, frozen=True, kw_only=True, tag="pagerduty"):
    """A service of PagerDuty."""

    config: PagerDutySpec


class PagerDutyChannelAnswer(ChannelAnswer, frozen=True, kw_only=True, tag="pagerduty"):
    """A service of PagerDuty."""

    config: PagerDutyAnswer | None


class PagerDuty(Kind[PagerDutySpec, PagerDutyConfig]):
    """An integration."""

    word: ClassVar[str] = "pagerduty"
    spec = PagerDutySpec
    config = PagerDutyConfig
    channel = PagerDutyChannel
    answer = PagerDutyChannelAnswer
    secrets = ("routing_key",)

    def trimmed(self, spec: PagerDutySpec) -> PagerDutySpec:
        """Return it without the spaces around what was pasted."""
        return replace(spec, routing_key=stripped(spec.routing_key), api_url=optional(spec.api_url))

    def problems(self, spec: PagerDutySpec) -> list[Problem]:
        """Return what is wrong with the key's form and the address."""
        return [
            *text_problems(
                "routing_key",
                spec.routing_key,
                _KEY,
                "is no integration key: that is 32 letters and digits, from the service's "
                "integration “Events API v2”",
            ),
            *url_problems("api_url", spec.api_url, base=True),
        ]

    def merged(self, new: PagerDutySpec, old: PagerDutyConfig | None) -> PagerDutyConfig:
        """Return what to store, with the key for the same host."""
        keeping = Keeping(None if old is None else moved(new.api_url, old.api_url))
        key = keeping.needed(
            "routing_key", new.routing_key, None if old is None else old.routing_key
        )
        keeping.done()
        return PagerDutyConfig(routing_key=key, api_url=new.api_url)

    def shown(self, config: PagerDutyConfig, *, for_admin: bool) -> PagerDutyAnswer:
        """Return it as it is answered."""
        return PagerDutyAnswer(
            routing_key_set=bool(config.routing_key),
            api_url=config.api_url if for_admin else None,
        )

    def destination(self, config: PagerDutyConfig, *, for_admin: bool) -> str:
        """Return where the service is."""
        return (host(config.api_url) if for_admin else "") or "a service's integration"

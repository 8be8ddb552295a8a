"""pushover: a user or group of Pushover."""

from __future__ import annotations

import re
from typing import ClassVar

from msgspec import Struct
from msgspec.structs import replace

from netpulse.model.channel import PushoverConfig
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

_KEY = re.compile(r"[A-Za-z0-9]{30}")


class PushoverSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A user or group of Pushover."""

    user: Secret | None = None
    """The user's or group's key, 30 signs. Write-only: null keeps what is stored."""
    token: Secret | None = None
    """The application's token, 30 signs. Write-only: null keeps what is stored."""
    api_url: Address | None = None
    """Null: Pushover's own, https://api.pushover.net."""


class PushoverAnswer(Struct, frozen=True, kw_only=True):
    """A user or group without its keys."""

    user: None = None
    user_set: bool
    token: None = None
    token_set: bool
    api_url: str | None


class PushoverChannel(ChannelSpec, frozen=True, kw_only=True, tag="pushover"):
    """A user or group of Pushover."""

    config: PushoverSpec


class PushoverChannelAnswer(ChannelAnswer, frozen=True, kw_only=True, tag="pushover"):
    """A user or group of Pushover."""

    config: PushoverAnswer | None


class Pushover(Kind[PushoverSpec, PushoverConfig]):
    """A user or group."""

    word: ClassVar[str] = "pushover"
    spec = PushoverSpec
    config = PushoverConfig
    channel = PushoverChannel
    answer = PushoverChannelAnswer
    secrets = ("user", "token")

    def trimmed(self, spec: PushoverSpec) -> PushoverSpec:
        """Return it without the spaces around what was pasted."""
        return replace(
            spec,
            user=stripped(spec.user),
            token=stripped(spec.token),
            api_url=optional(spec.api_url),
        )

    def problems(self, spec: PushoverSpec) -> list[Problem]:
        """Return what is wrong with the keys' form and the address."""
        return [
            *text_problems(
                "user",
                spec.user,
                _KEY,
                "is no user or group key: that is 30 letters and digits",
            ),
            *text_problems(
                "token",
                spec.token,
                _KEY,
                "is no application token: that is 30 letters and digits",
            ),
            *url_problems("api_url", spec.api_url, base=True),
        ]

    def merged(self, new: PushoverSpec, old: PushoverConfig | None) -> PushoverConfig:
        """Return what to store, with the keys for the same host."""
        keeping = Keeping(None if old is None else moved(new.api_url, old.api_url))
        user = keeping.needed("user", new.user, None if old is None else old.user)
        token = keeping.needed("token", new.token, None if old is None else old.token)
        keeping.done()
        return PushoverConfig(user=user, token=token, api_url=new.api_url)

    def shown(self, config: PushoverConfig, *, for_admin: bool) -> PushoverAnswer:
        """Return it as it is answered."""
        return PushoverAnswer(
            user_set=bool(config.user),
            token_set=bool(config.token),
            api_url=config.api_url if for_admin else None,
        )

    def destination(self, config: PushoverConfig, *, for_admin: bool) -> str:
        """Return where the user or group is."""
        return (host(config.api_url) if for_admin else "") or "a user or group"

"""ntfy: a topic of an ntfy server."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar

from msgspec import Meta, Struct
from msgspec.structs import replace

from netpulse.model.channel import NtfyConfig
from netpulse.web.api.channel_configs.parts import (
    NO_PLAIN,
    PLAIN,
    ChannelAnswer,
    ChannelSpec,
    Keeping,
    Kind,
    Secret,
    host,
    moved,
    origin,
    stripped,
    text_problems,
    url_problems,
)
from netpulse.web.errors import Problem

_TOPIC = re.compile(r"[A-Za-z0-9_-]{1,64}")


class NtfySpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A topic of an ntfy server."""

    url: Annotated[str, Meta(min_length=1, max_length=2048)]
    """The server, such as https://ntfy.sh."""
    topic: Annotated[str, Meta(min_length=1, max_length=100)]
    """Letters, digits, - and _. Whoever knows it may read along, where the server has no users."""
    token: Secret | None = None
    """An access token. Write-only: null keeps what is stored, "" removes it."""


class NtfyAnswer(Struct, frozen=True, kw_only=True):
    """A topic without the token."""

    url: str
    topic: str | None
    """Null for viewers: knowing it may be all it takes to read along."""
    token: None = None
    token_set: bool


class NtfyChannel(ChannelSpec, frozen=True, kw_only=True, tag="ntfy"):
    """A topic of ntfy."""

    config: NtfySpec


class NtfyChannelAnswer(ChannelAnswer, frozen=True, kw_only=True, tag="ntfy"):
    """A topic of ntfy."""

    config: NtfyAnswer | None


class Ntfy(Kind[NtfySpec, NtfyConfig]):
    """A topic."""

    word: ClassVar[str] = "ntfy"
    spec = NtfySpec
    config = NtfyConfig
    channel = NtfyChannel
    answer = NtfyChannelAnswer
    secrets = ("token",)

    def trimmed(self, spec: NtfySpec) -> NtfySpec:
        """Return it without the spaces around what was pasted."""
        return replace(
            spec, url=spec.url.strip(), topic=spec.topic.strip(), token=stripped(spec.token)
        )

    def problems(self, spec: NtfySpec) -> list[Problem]:
        """Return what is wrong with the address, the topic and the token's form."""
        return [
            *url_problems("url", spec.url, base=True),
            *text_problems(
                "topic",
                spec.topic or " ",
                _TOPIC,
                "is no topic: at most 64 letters, digits, - and _",
            ),
            *text_problems("token", spec.token, PLAIN, NO_PLAIN),
        ]

    def merged(self, new: NtfySpec, old: NtfyConfig | None) -> NtfyConfig:
        """Return what to store, with the token for the same host."""
        keeping = Keeping(None if old is None else moved(new.url, old.url))
        token = keeping.secret("token", new.token, None if old is None else old.token)
        keeping.done()
        return NtfyConfig(url=new.url, topic=new.topic, token=token)

    def shown(self, config: NtfyConfig, *, for_admin: bool) -> NtfyAnswer:
        """Return it as it is answered."""
        return NtfyAnswer(
            url=config.url if for_admin else origin(config.url),
            topic=config.topic if for_admin else None,
            token_set=config.token is not None,
        )

    def destination(self, config: NtfyConfig, *, for_admin: bool) -> str:
        """Return the topic and its server."""
        return f"{config.topic} on {host(config.url)}" if for_admin else host(config.url)

"""gotify: an application of a Gotify server."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta, Struct
from msgspec.structs import replace

from netpulse.model.channel import GotifyConfig
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


class GotifySpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An application of a Gotify server."""

    url: Annotated[str, Meta(min_length=1, max_length=2048)]
    """The server."""
    token: Secret | None = None
    """The application's token. Write-only: null keeps what is stored."""


class GotifyAnswer(Struct, frozen=True, kw_only=True):
    """An application without its token."""

    url: str
    token: None = None
    token_set: bool


class GotifyChannel(ChannelSpec, frozen=True, kw_only=True, tag="gotify"):
    """An application of Gotify."""

    config: GotifySpec


class GotifyChannelAnswer(ChannelAnswer, frozen=True, kw_only=True, tag="gotify"):
    """An application of Gotify."""

    config: GotifyAnswer | None


class Gotify(Kind[GotifySpec, GotifyConfig]):
    """An application."""

    word: ClassVar[str] = "gotify"
    spec = GotifySpec
    config = GotifyConfig
    channel = GotifyChannel
    answer = GotifyChannelAnswer
    secrets = ("token",)

    def trimmed(self, spec: GotifySpec) -> GotifySpec:
        """Return it without the spaces around what was pasted."""
        return replace(spec, url=spec.url.strip(), token=stripped(spec.token))

    def problems(self, spec: GotifySpec) -> list[Problem]:
        """Return what is wrong with the address and the token's form."""
        return [
            *url_problems("url", spec.url, base=True),
            *text_problems("token", spec.token, PLAIN, NO_PLAIN),
        ]

    def merged(self, new: GotifySpec, old: GotifyConfig | None) -> GotifyConfig:
        """Return what to store, with the token for the same host."""
        keeping = Keeping(None if old is None else moved(new.url, old.url))
        token = keeping.needed("token", new.token, None if old is None else old.token)
        keeping.done()
        return GotifyConfig(url=new.url, token=token)

    def shown(self, config: GotifyConfig, *, for_admin: bool) -> GotifyAnswer:
        """Return it as it is answered."""
        return GotifyAnswer(
            url=config.url if for_admin else origin(config.url), token_set=bool(config.token)
        )

    def destination(self, config: GotifyConfig, *, for_admin: bool) -> str:
        """Return the server."""
        del for_admin
        return host(config.url)
